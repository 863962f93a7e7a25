"""Lines of code with some of them marked, as text and as HTML without scripts."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from .svg import ACCENT

_TINT = "33"  # opacity as two hex digits: readable on white and on near-black


@dataclass(frozen=True)
class Listing:
    """Code, a title above it, and marks.

    Parameters
    ----------
    title
        A line above.
    lines
        The code.
    marked
        Positions of the lines that matter.
    context
        Lines kept around the marked ones; what lies further away is left out and counted. None keeps all.

    Examples
    --------
    >>> print(Listing("loop", ("a", "b", "c", "d"), (2,), context=1).text())
    loop
      … 1 line
      b
    > c
      d
    """

    title: str
    lines: Sequence[str]
    marked: Sequence[int] = ()
    context: int | None = None

    def text(self) -> str:
        """Return plain text; marked lines begin with ``>``."""
        return "\n".join([self.title, *(("> " if mark else "  ") + line for line, mark in self._kept())])

    def html(self) -> str:
        """Return a preformatted block; marked lines have a tint."""
        rows = [
            f'<span style="background:{ACCENT}{_TINT};font-weight:bold">{html.escape(line)}</span>'
            if mark
            else html.escape(line)
            for line, mark in self._kept()
        ]
        code = "\n".join(rows)
        return f"<p><b>{html.escape(self.title)}</b></p><pre style='font-family:monospace;line-height:1.3'>{code}</pre>"

    def _kept(self) -> list[tuple[str, bool]]:
        """Return the lines to show and whether each is marked."""
        marked = set(self.marked)
        kept: list[tuple[str, bool]] = []
        left_out = 0
        for at, line in enumerate(self.lines):
            near = self.context is None or not marked or _near(at, self.marked, self.context)
            if near and left_out:
                kept.append((_omitted(left_out), False))
                left_out = 0
            if near:
                kept.append((line, at in marked))
            else:
                left_out += 1
        return [*kept, (_omitted(left_out), False)] if left_out else kept


def _near(at: int, marked: Sequence[int], context: int) -> bool:
    return min(marked) - context <= at <= max(marked) + context


def _omitted(count: int) -> str:
    return f"… {count} line{'s' if count > 1 else ''}"
