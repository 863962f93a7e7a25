"""A trace as tables: cost by line, system calls, run-queue latency, page faults."""

from __future__ import annotations

from collections import defaultdict

from ...render.table import Cell, Table
from ..attribution import NO_PYTHON, costs, short
from ..latency import Latency, merge
from ..model import Trace
from ..rows import Frame

_NS_PER_US = 1e3
_SOURCE_WIDTH = 72  # a line of source, cut so that the figures beside it stay in view


def lines_table(trace: Trace, limit: int = 20) -> Table:
    """Return CPU time and page faults by source line; columns the tier cannot fill are None."""
    rows = costs(trace)
    total = trace.total("cpu")
    cpu, faults = "cpu" in trace.meta.probes, trace.meta.tier == "bpf" and "faults" in trace.meta.probes
    cells: list[list[Cell]] = [
        [
            _place(row.frame),
            _clipped(row.frame.text or row.frame.name),
            round(row.cpu_s, 4) if cpu else None,
            f"{row.cpu_s / total:.1%}" if total else None,
            row.samples if cpu else None,
            round(row.faults) if faults else None,
        ]
        for row in rows[:limit]
    ]
    rest = f"{len(rows) - limit} more lines" if len(rows) > limit else ""
    return Table(("line", "source", "cpu s", "share", "samples", "faults ~"), cells, "CPU time by line", rest)


def _clipped(text: str) -> str:
    return text if len(text) <= _SOURCE_WIDTH else text[: _SOURCE_WIDTH - 1] + "…"


def calls_table(trace: Trace, limit: int = 10) -> Table | None:
    """Return system calls by total time, all processes together; None when the tier cannot see them."""
    if trace.calls is None:
        return None
    by_name: dict[str, list[Latency]] = defaultdict(list)
    for call in trace.calls:
        by_name[call.name].append(call.latency)
    merged = sorted(
        ((name, merge(parts)) for name, parts in by_name.items()), key=lambda row: (-row[1].total_ns, row[0])
    )
    rows = [
        [name, all_.count, all_.errors, round(all_.total_ns / 1e6, 3), *_percentiles(all_)]
        for name, all_ in merged[:limit]
    ]
    count = sum(all_.count for _, all_ in merged)
    note = f"{count:,} calls of {len(merged)} kinds; the time of a call includes waiting in it"
    return Table(
        ("system call", "calls", "failed", "total ms", "p50 us", "p99 us", "max us"),
        rows,
        "System calls",
        note,
    )


def waits_table(trace: Trace, limit: int = 10) -> Table | None:
    """Return run-queue latency by thread; None when the tier cannot see it."""
    if trace.waits is None:
        return None
    ordered = sorted(trace.waits, key=lambda row: (-row.latency.total_ns, row.pid, row.tid))
    rows: list[list[Cell]] = [
        [
            f"{row.thread} ({row.pid}/{row.tid})",
            row.latency.count,
            round(row.latency.total_ns / 1e6, 3),
            *_percentiles(row.latency),
        ]
        for row in ordered[:limit]
    ]
    if len(ordered) > 1:
        every = merge(row.latency for row in ordered)
        rows.append(["all threads", every.count, round(every.total_ns / 1e6, 3), *_percentiles(every)])
    return Table(
        ("thread", "waits", "total ms", "p50 us", "p99 us", "max us"),
        rows,
        "Run-queue latency: ready, but waiting for a CPU",
    )


def histogram_table(latency: Latency, title: str) -> Table:
    """Return a log2 histogram as bars of text."""
    used = [slot for slot, count in enumerate(latency.slots) if count]
    span = range(used[0], used[-1] + 1) if used else range(0)
    most = max(latency.slots, default=0)
    rows: list[list[Cell]] = [
        [
            f"{duration(2**slot)} – {duration(2 ** (slot + 1))}",
            latency.slots[slot],
            _bar(latency.slots[slot], most),
        ]
        for slot in span
    ]
    note = (
        f"p50 {duration(latency.percentile(0.5))}, p99 {duration(latency.percentile(0.99))}" if used else ""
    )
    return Table(("from – to", "count", ""), rows, title, note)


def duration(ns: float) -> str:
    """Return a duration with a fitting unit.

    Examples
    --------
    >>> duration(512), duration(2_048), duration(3_000_000)
    ('512 ns', '2.05 us', '3 ms')
    """
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"


def _percentiles(latency: Latency) -> list[Cell]:
    values = (latency.percentile(0.5), latency.percentile(0.99), float(latency.max_ns))
    return [round(value / _NS_PER_US, 2) for value in values]


def _place(frame: Frame) -> str:
    if frame is NO_PYTHON or not frame.line:
        return frame.name
    return f"{frame.file} line {frame.line}" if frame.cell else f"{short(frame.file)}:{frame.line}"


def _bar(count: int, most: int, width: int = 40) -> str:
    return "█" * max(round(width * count / most), 1) if count else ""
