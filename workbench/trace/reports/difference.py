"""Two traces side by side: fp32 against int8, before against after."""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from ...render.svg import Picture
from ...render.table import Cell, Table
from ...render.units import amount, duration
from ..attribution import label, place
from ..costs import WEIGHTS, LineCost, costs, weighted_stacks
from ..latency import merge
from ..model import Trace
from ..rows import Frame, Operator, SystemCall
from ..tree import same_key
from .flame import difference_svg
from .lines import clipped

_MIB = 1 << 20
_Pair = list[float]


class DifferenceReport:
    """What changed between two traces; IPython shows it by itself.

    Parameters
    ----------
    before, after
        The traces; changes are `after` minus `before`.
    names
        What to call them.
    """

    def __init__(self, before: Trace, after: Trace, names: tuple[str, str] = ("before", "after")) -> None:
        self.before, self.after, self.names = before, after, names

    def summary(self) -> str:
        """Return the totals, and what makes the two hard to compare."""
        parts = [
            f"{name}: {trace.total('cpu'):.3g} s of CPU time in {trace.meta.wall_s:.3g} s, "
            f"tier {trace.meta.tier} at {trace.meta.hz} Hz"
            for name, trace in zip(self.names, (self.before, self.after), strict=True)
        ]
        parts.append(headline(self.before, self.after))
        if self.before.meta.tier != self.after.meta.tier:
            parts.append("note: the two were traced by different tiers; compare shares, not seconds")
        lost = [
            name for name, trace in zip(self.names, (self.before, self.after), strict=True) if trace.meta.lost
        ]
        if lost:
            parts.append(f"note: events were lost in {' and '.join(lost)}")
        return "\n".join(parts)

    def tables(self) -> list[Table]:
        """Return what changed by line, function, operator and system call; what neither saw is left out."""
        found = [lines_difference(self.before, self.after), functions_difference(self.before, self.after)]
        for what, name in (("operator", "operators"), ("CUDA call", "cuda"), ("system call", "calls")):
            first, second = getattr(self.before, name), getattr(self.after, name)
            if first or second:
                found.append(_calls_difference(first or (), second or (), what))
        return found

    def flame(self, weight: str = "cpu") -> Picture:
        """Return both flame graphs as one, coloured by the change."""
        svg = difference_svg(self.before, self.after, weight)
        return Picture(svg, f"(differential flame graph of {WEIGHTS[weight].title}: shown as a picture)")

    def text(self) -> str:
        """Return everything but the picture."""
        return "\n\n".join([self.summary(), *(table.text() for table in self.tables())])

    def html(self) -> str:
        """Return everything, without scripts."""
        summary = "<br>".join(html.escape(line) for line in self.summary().splitlines())
        first, *rest = (table.html() for table in self.tables())
        return f"<div><p>{summary}</p>{first}{self.flame().html()}{''.join(rest)}</div>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return {"text/plain": self.text(), "text/html": self.html()}


def lines_difference(before: Trace, after: Trace, limit: int = 15) -> Table:
    """Return the change by line, largest first.

    A line is the same in both when its text is: cells are run again under other numbers.
    """
    pairs: dict[str, list[LineCost | None]] = defaultdict(lambda: [None, None])
    for side, trace in enumerate((before, after)):
        for cost in costs(trace):
            key = _line_key(cost.frame)
            pairs[key][side] = _sum(pairs[key][side], cost)
    blocked = before.offcpu is not None and after.offcpu is not None
    memory = before.allocations is not None and after.allocations is not None
    rows = [_line_row(first, second, blocked, memory) for first, second in pairs.values()]
    rows.sort(
        key=lambda row: (-abs(_number(row[4])), -abs(_number(row[7])), -abs(_number(row[6])), str(row[0]))
    )
    columns = (
        "line",
        "source",
        "cpu s before",
        "after",
        "change",
        "ratio",
        "off-cpu s change",
        "held MiB change",
    )
    rest = f"{len(rows) - limit} more lines" if len(rows) > limit else ""
    return Table(columns, rows[:limit], "Change by line", rest)


def _line_key(frame: Frame) -> str:
    """Return what makes two lines the same: in cells the text alone, whichever part of it was running."""
    if frame.cell and frame.text:
        return frame.text
    return f"{same_key(frame)}\0{frame.text or frame.line}"


def functions_difference(before: Trace, after: Trace, limit: int = 12) -> Table:
    """Return the change in functions' own CPU time (callees not included), largest first."""
    pairs: dict[str, _Pair] = defaultdict(lambda: [0.0, 0.0])
    names: dict[str, str] = {}
    for side, trace in enumerate((before, after)):
        for stack, value in weighted_stacks(trace):
            key = same_key(stack[-1])
            pairs[key][side] += value
            names[key] = label(stack[-1])
    ordered = sorted(pairs.items(), key=lambda item: (-abs(item[1][1] - item[1][0]), item[0]))
    rows: list[list[Cell]] = [
        [clipped(names[key], 72), *_change(first, second, 4)] for key, (first, second) in ordered[:limit]
    ]
    columns = ("function", "own cpu s before", "after", "change", "ratio")
    return Table(columns, rows, "Change by function", f"{len(ordered):,} functions were seen")


def _calls_difference(
    before: Iterable[Operator | SystemCall],
    after: Iterable[Operator | SystemCall],
    what: str,
    limit: int = 12,
) -> Table:
    first, second = _merged(before), _merged(after)
    names = sorted(
        first | second, key=lambda name: -abs(second.get(name, _NONE)[1] - first.get(name, _NONE)[1])
    )
    rows: list[list[Cell]] = [
        [
            name,
            int(first.get(name, _NONE)[0]),
            int(second.get(name, _NONE)[0]),
            *_change(first.get(name, _NONE)[1] / 1e6, second.get(name, _NONE)[1] / 1e6, 3),
        ]
        for name in names[:limit]
    ]
    columns = ("name", "calls before", "after", "total ms before", "after", "change", "ratio")
    return Table(columns, rows, f"Change by {what}")


_NONE = (0, 0)


def _merged(rows: Iterable[Operator | SystemCall]) -> dict[str, tuple[int, int]]:
    parts = defaultdict(list)
    for row in rows:
        parts[row.name].append(row.latency)
    sums = {name: merge(found) for name, found in parts.items()}
    return {name: (latency.count, latency.total_ns) for name, latency in sums.items()}


def _line_row(first: LineCost | None, second: LineCost | None, blocked: bool, memory: bool) -> list[Cell]:
    shown = second or first
    assert shown is not None
    one, two = first or LineCost(shown.frame), second or LineCost(shown.frame)
    return [
        place(shown.frame),
        clipped(shown.frame.text or shown.frame.name),
        *_change(one.cpu_s, two.cpu_s, 4),
        round(two.offcpu_s - one.offcpu_s, 4) if blocked else None,
        round((two.held - one.held) / _MIB, 3) if memory else None,
    ]


def _sum(known: LineCost | None, more: LineCost) -> LineCost:
    if known is None:
        return more
    return LineCost(
        more.frame,
        known.cpu_s + more.cpu_s,
        known.samples + more.samples,
        known.offcpu_s + more.offcpu_s,
        known.faults + more.faults,
        known.allocated + more.allocated,
        known.held + more.held,
    )


def _change(first: float, second: float, digits: int) -> list[Cell]:
    ratio = round(second / first, 3) if first else None
    return [round(first, digits), round(second, digits), round(second - first, digits), ratio]


def _number(cell: Cell) -> float:
    return float(cell) if isinstance(cell, int | float) else 0.0


def headline(before: Trace, after: Trace) -> str:
    """Return the change of the totals in one line."""
    parts = []
    for weight in ("cpu", "offcpu", "held"):
        kind = WEIGHTS[weight]
        first, second = (sum(value for *_, value in kind.rows(trace)) for trace in (before, after))
        if first or second:
            ratio = f" (×{second / first:.3g})" if first else ""
            parts.append(f"{kind.title} {amount(first, kind.unit)} → {amount(second, kind.unit)}{ratio}")
    wall = f"wall time {duration(before.meta.wall_s * 1e9)} → {duration(after.meta.wall_s * 1e9)}"
    return "; ".join([wall, *parts])
