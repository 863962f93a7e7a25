"""How long things take: system calls, operators, CUDA calls, waits for a CPU; percentiles and histograms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from ...render.svg import Bar, Picture, bars
from ...render.table import Cell, Table
from ...render.units import duration
from ..latency import SLOTS, Latency, merge
from ..model import Trace
from ..rows import OffCpu, Operator

_NS_PER_US = 1e3
_PERCENTILES = ("p50 us", "p90 us", "p99 us", "max us")


def calls_table(trace: Trace, limit: int = 10) -> Table | None:
    """Return system calls by total time, all processes together; None when the tier cannot see them."""
    if trace.calls is None:
        return None
    rows = _by_name((call.name, call.latency) for call in trace.calls)
    count = sum(latency.count for _, latency in rows)
    note = f"{count:,} calls of {len(rows)} kinds; the time of a call includes waiting in it"
    return Table(
        ("system call", "calls", "failed", "total ms", *_PERCENTILES),
        [
            [name, latency.count, latency.errors, _ms(latency), *_percentiles(latency)]
            for name, latency in rows[:limit]
        ],
        "System calls",
        note,
    )


def functions_table(rows: Sequence[Operator] | None, title: str, limit: int = 15) -> Table | None:
    """Return probed functions by total time, all processes together; None when none were probed.

    Parameters
    ----------
    rows
        Operators, CUDA calls or static probe points of a trace.
    title
        What they are.
    limit
        Rows to show.
    """
    if rows is None:
        return None
    merged = _by_name((row.name, row.latency) for row in rows)
    size: dict[str, int] = defaultdict(int)
    for row in rows:
        size[row.name] += row.bytes
    whole = sum(latency.total_ns for _, latency in merged)
    cells: list[list[Cell]] = [
        [
            name,
            latency.count,
            _ms(latency),
            f"{latency.total_ns / whole:.1%}" if whole else None,
            *_percentiles(latency),
            size[name] or None,
        ]
        for name, latency in merged[:limit]
    ]
    count = sum(latency.count for _, latency in merged)
    note = f"{count:,} calls of {len(merged)} kinds; a call's time includes the calls inside it"
    return Table(("function", "calls", "total ms", "share", *_PERCENTILES, "bytes"), cells, title, note)


def waits_table(trace: Trace, limit: int = 10) -> Table | None:
    """Return run-queue latency by thread; None when the tier cannot see it."""
    if trace.waits is None:
        return None
    ordered = sorted(trace.waits, key=lambda row: (-row.latency.total_ns, row.pid, row.tid))
    rows: list[list[Cell]] = [
        [
            f"{row.thread} ({row.pid}/{row.tid})",
            row.latency.count,
            _ms(row.latency),
            *_percentiles(row.latency),
        ]
        for row in ordered[:limit]
    ]
    if len(ordered) > 1:
        every = merge(row.latency for row in ordered)
        rows.append(["all threads", every.count, _ms(every), *_percentiles(every)])
    return Table(
        ("thread", "waits", "total ms", *_PERCENTILES),
        rows,
        "Run-queue latency: ready, but waiting for a CPU",
    )


def histogram(latency: Latency, title: str) -> Picture:
    """Return a distribution as bars, one a power of two, with its percentiles in the title."""
    used = [slot for slot, count in enumerate(latency.slots) if count]
    span = range(used[0], used[-1] + 1) if used else range(0)
    most = max(latency.slots, default=0)
    rows = [
        Bar(
            f"{duration(2**slot)} – {duration(2 ** (slot + 1))}",
            latency.slots[slot] / most,
            f"{latency.slots[slot]:,}",
        )
        for slot in span
    ]
    marks = ", ".join(f"p{share} {duration(latency.percentile(share / 100))}" for share in (50, 90, 99))
    return bars(rows, f"{title}: {marks}, max {duration(latency.max_ns)}" if used else f"{title}: none")


def of_durations(durations_ns: Iterable[int]) -> Latency:
    """Return the distribution of some durations.

    Examples
    --------
    >>> of_durations([3, 5, 1000]).count
    3
    """
    values = np.fromiter(durations_ns, dtype=np.int64)
    # The exponent of a float is its bit length, up to 2^53; all of the longest are in the last slot anyway.
    slot = np.clip(np.frexp(np.maximum(values, 1))[1] - 1, 0, SLOTS - 1)
    slots = np.bincount(slot, minlength=SLOTS).tolist()
    return Latency(len(values), 0, int(values.sum()), int(values.max(initial=0)), tuple(slots))


def histograms(trace: Trace) -> list[Picture]:
    """Return the distributions a trace holds: waits for a CPU, blocked time, the slowest call of each kind."""
    found = []
    if trace.waits:
        found.append(histogram(merge(row.latency for row in trace.waits), "Waits for a CPU"))
    if trace.offcpu:
        found.append(histogram(of_durations(_lengths(trace.offcpu)), "Time blocked"))
    for rows, what in (
        (trace.calls, "System call"),
        (trace.operators, "Operator"),
        (trace.cuda, "CUDA call"),
    ):
        named = _by_name((row.name, row.latency) for row in rows or ())
        found += [histogram(latency, f"{what} {name}") for name, latency in named[:1] if latency.total_ns]
    return found


def _lengths(waits: Iterable[OffCpu]) -> Iterable[int]:
    return (wait.duration_ns for wait in waits)


def _by_name(rows: Iterable[tuple[str, Latency]]) -> list[tuple[str, Latency]]:
    """Return the distribution of each name, most total time first."""
    parts: dict[str, list[Latency]] = defaultdict(list)
    for name, latency in rows:
        parts[name].append(latency)
    merged = ((name, merge(found)) for name, found in parts.items())
    return sorted(merged, key=lambda row: (-row[1].total_ns, -row[1].count, row[0]))


def _ms(latency: Latency) -> float:
    return round(latency.total_ns / 1e6, 3)


def _percentiles(latency: Latency) -> list[Cell]:
    if not latency.total_ns and latency.count:  # only entries were probed
        return [None] * len(_PERCENTILES)
    shares = (0.5, 0.9, 0.99)
    values = [*(latency.percentile(share) for share in shares), float(latency.max_ns)]
    return [round(value / _NS_PER_US, 2) for value in values]
