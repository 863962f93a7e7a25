"""One table, three faces: aligned text, plain HTML, and the mimebundle that carries both."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """A titled table.

    Parameters
    ----------
    columns
        Headings.
    rows
        Cells; ``None`` shows as a dash, ``""`` as nothing, floats with 4 significant digits.
    title, note
        A line above and a line below.

    Examples
    --------
    >>> print(Table(("name", "MB"), (("fp32", 90.8), ("int8", 23.0))).text())
    name   MB
    fp32 90.8
    int8   23
    """

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    title: str = ""
    note: str = ""

    def text(self) -> str:
        """Return aligned plain text: first column left, numbers right."""
        cells = [list(self.columns), *[[show(c) for c in row] for row in self.rows]]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        right = [self._is_number(i) for i in range(len(self.columns))]
        lines = [
            " ".join(
                c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)
            ).rstrip()
            for row in cells
        ]
        return "\n".join([*([self.title] if self.title else []), *lines, *([self.note] if self.note else [])])

    def html(self) -> str:
        """Return an HTML table with no script and no style sheet of its own."""
        align = ["right" if self._is_number(i) else "left" for i in range(len(self.columns))]
        head = "".join(
            f'<th style="text-align:{a}">{html.escape(c)}</th>'
            for c, a in zip(self.columns, align, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(
                f'<td style="text-align:{a}">{html.escape(show(c))}</td>'
                for c, a in zip(row, align, strict=True)
            )
            + "</tr>"
            for row in self.rows
        )
        caption = (
            f"<caption style='text-align:left'><b>{html.escape(self.title)}</b></caption>"
            if self.title
            else ""
        )
        note = f"<p><small>{html.escape(self.note)}</small></p>" if self.note else ""
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"

    def to_pandas(self) -> pd.DataFrame:
        """Return the cells as they are, unrounded, under their headings.

        Raises
        ------
        MissingDependency
            If pandas is not installed.
        """
        from .frame import frame

        return frame(self.rows, self.columns)

    def _is_number(self, column: int) -> bool:
        values = [row[column] for row in self.rows if row[column] not in (None, "")]
        return bool(values) and all(isinstance(v, int | float) for v in values)


def show(value: Cell) -> str:
    """Return a cell as text.

    Examples
    --------
    >>> [show(v) for v in (None, 0.30331, 12, "x", 123456.7)]
    ['–', '0.3033', '12', 'x', '123,457']
    """
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
