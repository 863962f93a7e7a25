"""Several parts shown as one: tables and pictures below each other, as text, HTML and a mimebundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Part(Protocol):
    """Anything with two faces, such as ``render.table.Table`` and ``render.svg.Picture``."""

    def text(self) -> str:
        """Return plain text."""

    def html(self) -> str:
        """Return HTML without scripts."""


@dataclass(frozen=True)
class Bundle:
    """Parts below each other.

    Examples
    --------
    >>> from workbench.render.table import Table
    >>> print(Bundle((Table(("a",), ((1,),)), Table(("b",), ((2,),)))).text())
    a
    1
    <BLANKLINE>
    b
    2
    """

    parts: Sequence[Part]

    def text(self) -> str:
        """Return the parts as text, an empty line between two."""
        return "\n\n".join(part.text() for part in self.parts)

    def html(self) -> str:
        """Return the parts as one HTML block."""
        return "<div>" + "".join(part.html() for part in self.parts) + "</div>"

    def __repr__(self) -> str:
        return self.text()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": self.text(), "text/html": self.html()}
