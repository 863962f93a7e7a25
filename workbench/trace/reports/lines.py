"""What each line of the cell cost, in one table whatever the tier: what it cannot see is empty."""

from __future__ import annotations

from ...render.table import Cell, Table
from ..attribution import place
from ..costs import LineCost, costs
from ..model import Trace

_SOURCE_WIDTH = 60  # a line of source, cut so that the figures beside it stay in view
_MIB = 1 << 20


def lines_table(trace: Trace, limit: int = 15) -> Table:
    """Return CPU time, blocked time, page faults and allocations by source line."""
    rows = costs(trace)
    total = trace.total("cpu")
    sees = _Seen(trace)
    cells = [_row(cost, total, sees) for cost in rows[:limit]]
    columns = (
        "line",
        "source",
        "cpu s",
        "share",
        "samples",
        "off-cpu s",
        "faults ~",
        "alloc MiB",
        "held MiB",
    )
    notes = [f"tier {trace.meta.tier}"]
    if sees.missing:
        notes.append(f"– : not traced ({', '.join(sees.missing)})")
    if len(rows) > limit:
        notes.append(f"{len(rows) - limit} more lines")
    return Table(columns, cells, "Cost by line", "; ".join(notes))


class _Seen:
    """Which columns the trace can fill."""

    def __init__(self, trace: Trace) -> None:
        self.cpu = "cpu" in trace.meta.probes
        self.offcpu = trace.offcpu is not None
        self.faults = trace.meta.tier == "bpf" and "faults" in trace.meta.probes
        self.allocations = trace.allocations is not None
        columns = {
            "CPU": self.cpu,
            "off-CPU": self.offcpu,
            "faults by line": self.faults,
            "allocations": self.allocations,
        }
        self.missing = [name for name, seen in columns.items() if not seen]


def _row(cost: LineCost, total: float, sees: _Seen) -> list[Cell]:
    return [
        place(cost.frame),
        clipped(cost.frame.text or cost.frame.name),
        round(cost.cpu_s, 4) if sees.cpu else None,
        f"{cost.cpu_s / total:.1%}" if total else None,
        cost.samples if sees.cpu else None,
        round(cost.offcpu_s, 4) if sees.offcpu else None,
        round(cost.faults) if sees.faults else None,
        round(cost.allocated / _MIB, 3) if sees.allocations else None,
        round(cost.held / _MIB, 3) if sees.allocations else None,
    ]


def clipped(text: str, width: int = _SOURCE_WIDTH) -> str:
    """Return a text no longer than a column."""
    return text if len(text) <= width else text[: width - 1] + "…"
