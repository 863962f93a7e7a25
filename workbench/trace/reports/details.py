"""A part of a report that is folded away until it is asked for; HTML only, without a script."""

from __future__ import annotations

import html
from dataclasses import dataclass

from ...render.bundle import Part


@dataclass(frozen=True)
class Details:
    """A part under a title one can open.

    Examples
    --------
    >>> from workbench.render.table import Table
    >>> Details("More", Table(("a",), ((1,),))).html()[:33]
    '<details><summary>More</summary><'
    """

    title: str
    part: Part

    def text(self) -> str:
        """Return the part's text."""
        return self.part.text()

    def html(self) -> str:
        """Return the folded part."""
        return f"<details><summary>{html.escape(self.title)}</summary>{self.part.html()}</details>"
