"""What happened when: every kind of event summed into the same time bins, one lane a kind.

A lane is bounded whatever the trace's length: :data:`BINS` bins, and few series beside "other".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .attribution import is_own, line_of, place
from .model import Trace
from .rows import OffCpu

BINS = 240
SERIES = 4
_SAMPLES_A_BIN = 4
OTHER = "other"
Values = NDArray[np.float64]
Event = tuple[str, int, int, float]
"""(series, start in ns, length in ns, weight)"""


@dataclass(frozen=True)
class Series:
    """One colour of a lane: a name and a value a bin."""

    name: str
    values: Values


@dataclass(frozen=True)
class Lane:
    """One row of the timeline.

    Parameters
    ----------
    name
        ``CPU``, ``off-CPU``, ``operators``, ``CUDA``, ``run queue``, ``faults``, ``audit``.
    unit
        What a value counts: ``cores busy``, ``threads blocked``, …
    series
        Largest first; stacked.
    """

    name: str
    unit: str
    series: tuple[Series, ...]

    @property
    def top(self) -> float:
        """The highest stack of the lane."""
        return float(np.sum([series.values for series in self.series], axis=0).max()) if self.series else 0.0


def lanes(trace: Trace, bins: int = BINS) -> list[Lane]:
    """Return the lanes that have anything in them, in the order they are drawn."""
    end_ns = length_ns(trace)
    found = []
    for name, unit, events, per_second in _sources(trace):
        rows = list(events)
        if rows:
            parts = min(bins, _steady_bins(trace)) if name == "CPU" else bins
            scale = parts / end_ns * 1e9 if per_second else 1.0
            found.append(Lane(name, unit, _series(rows, end_ns, parts, scale)))
    return found


def _steady_bins(trace: Trace) -> int:
    """Return how many bins leave each enough samples to be steady: a sample is one or none."""
    return max(int(trace.meta.wall_s * trace.meta.hz / _SAMPLES_A_BIN), 24)


def length_ns(trace: Trace) -> int:
    """Return how long the time axis is: the trace's length, or its last event where that is later."""
    last = trace.samples[-1].time_ns if trace.samples else 0
    return max(int(trace.meta.wall_s * 1e9), last, 1)


def _sources(trace: Trace) -> list[tuple[str, str, Iterable[Event], bool]]:
    """Return (lane, unit, events, whether the weight is a time spread over the event)."""
    charge = _charger(trace)
    period = int(1e9 / trace.meta.hz)
    cpu = (
        (charge(s.stack), max(s.time_ns - period, 0), period, s.value)
        for s in trace.samples
        if s.kind == "cpu"
    )
    faults = ((charge(s.stack), s.time_ns, 0, s.value) for s in trace.samples if s.kind == "fault")
    blocked = (
        (charge(w.stack), w.time_ns, w.duration_ns, w.duration_ns / 1e9) for w in _own_waits(trace, charge)
    )
    names = {wait.tid: wait.thread for wait in trace.waits or ()}
    delays = (
        (names.get(d.tid, f"thread {d.tid}"), d.time_ns, d.duration_ns, d.duration_ns / 1e9)
        for d in trace.delays or ()
    )
    calls = [e for e in trace.events or () if e.family not in ("cuda", "usdt")]
    cuda = [e for e in trace.events or () if e.family == "cuda"]
    return [
        ("CPU", "cores busy", cpu, True),
        ("off-CPU", "threads blocked", blocked, True),
        (
            "operators",
            "threads inside",
            [(e.name, e.time_ns, e.duration_ns, e.duration_ns / 1e9) for e in calls],
            True,
        ),
        (
            "CUDA",
            "threads inside",
            [(e.name, e.time_ns, e.duration_ns, e.duration_ns / 1e9) for e in cuda],
            True,
        ),
        ("run queue", "threads waiting for a CPU", delays, True),
        ("faults", "faults a second", faults, True),
        ("audit", "events", [(a.verdict or a.action, a.time_ns, 0, 1.0) for a in trace.audit or ()], False),
    ]


def _charger(trace: Trace) -> Callable[[int], str]:
    """Return a function from a stack to the name of the line it is charged to."""
    names: dict[int, str] = {}

    def charge(stack: int) -> str:
        if stack not in names:
            line = line_of(trace.frames_of(stack))
            names[stack] = place(line) if is_own(line) else OTHER
        return names[stack]

    return charge


def _own_waits(trace: Trace, charge: Callable[[int], str]) -> list[OffCpu]:
    """Return the waits of the user's own lines; all of them where there are none."""
    every = trace.offcpu or ()
    own = [wait for wait in every if charge(wait.stack) != OTHER]
    return own or list(every)


def _series(rows: list[Event], end_ns: int, bins: int, scale: float) -> tuple[Series, ...]:
    weights: dict[str, float] = defaultdict(float)
    for name, _, _, weight in rows:
        weights[name] += weight
    kept = [name for name in sorted(weights, key=lambda n: (-weights[n], n)) if name != OTHER][:SERIES]
    if len(kept) < len(weights):
        kept.append(OTHER)
    number = {name: index for index, name in enumerate(kept)}
    rest = number.get(OTHER, 0)
    which = np.array([number.get(name, rest) for name, *_ in rows])
    numbers = np.array([row[1:] for row in rows], dtype=np.float64)
    start, length, sums = numbers.T
    return tuple(
        Series(name, scale * binned(start[which == i], length[which == i], sums[which == i], end_ns, bins))
        for name, i in number.items()
    )


def binned(start: Values, length: Values, weight: Values, end_ns: int, bins: int) -> Values:
    """Return the weight that falls into each bin; a weight is spread evenly over its length.

    Parameters
    ----------
    start, length
        Of each event, ns; what lies outside the axis is counted at its ends.
    weight
        Of each event.
    end_ns, bins
        Length of the axis, and how many parts it has.

    Examples
    --------
    >>> binned(np.array([0.0, 15.0]), np.array([20.0, 0.0]), np.array([4.0, 1.0]), 40, 4)
    array([2., 3., 0., 0.])
    """
    # As differences: an event adds its rate from its start to its end, and partial bins at both.
    scale = bins / end_ns
    first = np.clip(start * scale, 0, bins)
    last = np.clip((start + length) * scale, 0, bins)
    spread = last - first
    narrow = spread < 1e-9
    out = np.bincount(
        np.minimum(first[narrow].astype(int), bins - 1), weights=weight[narrow], minlength=bins
    ).astype(np.float64)
    total = np.zeros(bins + 1)
    edges = np.arange(bins + 1)
    # Cumulative weight at an edge: sum over events of rate * (edge - first) clipped to the event.
    rate = weight[~narrow] / spread[~narrow]
    for points, sign in ((first[~narrow], 1.0), (last[~narrow], -1.0)):
        order = np.argsort(points)
        sorted_points, rates = points[order], rate[order]
        count = np.searchsorted(sorted_points, edges, side="right")
        rates_before = np.concatenate(([0.0], np.cumsum(rates)))[count]
        moments = np.concatenate(([0.0], np.cumsum(rates * sorted_points)))[count]
        total += sign * (rates_before * edges - moments)
    out += np.diff(total)
    return np.maximum(out, 0.0)
