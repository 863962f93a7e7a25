"""What was allocated and not given back, by stack."""

from __future__ import annotations

from collections import defaultdict

from ...render.table import Cell, Table
from ...render.units import size
from ..attribution import line_of, place, trail
from ..model import Trace
from ..rows import Allocation
from .lines import clipped


def leaks_table(trace: Trace, limit: int = 10) -> Table | None:
    """Return what was still held when the trace ended, most bytes first; None when it was not traced."""
    if trace.allocations is None:
        return None
    groups: dict[tuple[str, int], list[Allocation]] = defaultdict(list)
    for site in trace.allocations:
        if site.bytes > 0:
            groups[site.allocator, site.stack].append(site)
    ordered = sorted(groups.values(), key=lambda sites: (-_held(sites), sites[0].stack))
    held, total = sum(map(_held, ordered)), sum(site.total_bytes for site in trace.allocations)
    rest = f"; {len(ordered) - limit} more stacks" if len(ordered) > limit else ""
    note = f"{size(held)} of {size(total)} allocated were still held when the trace ended{rest}"
    columns = ("line", "source", "held MiB", "blocks", "allocated MiB", "allocations", "allocator", "stack")
    rows = [_row(trace, sites) for sites in ordered[:limit]]
    return Table(columns, rows, "Memory still held: leaks, caches and results", note)


def _row(trace: Trace, sites: list[Allocation]) -> list[Cell]:
    frames = trace.frames_of(sites[0].stack)
    line = line_of(frames)
    return [
        place(line),
        clipped(line.text or line.name, 44),
        round(_held(sites) / (1 << 20), 3),
        sum(site.blocks for site in sites),
        round(sum(site.total_bytes for site in sites) / (1 << 20), 3),
        sum(site.total_blocks for site in sites),
        sites[0].allocator,
        clipped(trail(frames, 3), 64),
    ]


def _held(sites: list[Allocation]) -> int:
    return sum(site.bytes for site in sites)
