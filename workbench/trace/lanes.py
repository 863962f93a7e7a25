"""What happened when: every kind of event summed into the same time bins, one lane a kind.

A lane is bounded whatever the trace's length: :data:`BINS` bins, and few series beside "other".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .attribution import is_own, line_of, place
from .model import Trace
from .rows import OffCpu, OperatorEvent, RunDelay

BINS = 240
SERIES = 4
_SAMPLES_A_BIN = 4
OTHER = "other"
Values = NDArray[np.float64]


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


@dataclass(frozen=True)
class _Events:
    """What goes into one lane, as columns: start and length in ns, weight, and which series by name."""

    lane: str
    unit: str
    names: list[str]
    start: Values
    length: Values
    weight: Values
    per_second: bool = True


def lanes(trace: Trace, bins: int = BINS) -> list[Lane]:
    """Return the lanes that have anything in them, in the order they are drawn."""
    end_ns = length_ns(trace)
    found = []
    for events in _sources(trace):
        if events.names:
            parts = min(bins, _steady_bins(trace)) if events.lane == "CPU" else bins
            scale = parts / end_ns * 1e9 if events.per_second else 1.0
            found.append(Lane(events.lane, events.unit, _series(events, end_ns, parts, scale)))
    return found


def _steady_bins(trace: Trace) -> int:
    """Return how many bins leave each enough samples to be steady: a sample is one or none."""
    return max(int(trace.meta.wall_s * trace.meta.hz / _SAMPLES_A_BIN), 24)


def length_ns(trace: Trace) -> int:
    """Return how long the time axis is: the trace's length, or its last event where that is later."""
    last = trace.samples[-1].time_ns if trace.samples else 0
    return max(int(trace.meta.wall_s * 1e9), last, 1)


def _sources(trace: Trace) -> Iterable[_Events]:
    charge = _charger(trace)
    threads = {wait.tid: wait.thread for wait in trace.waits or ()}
    events, delays = trace.events or (), trace.delays or ()
    calls = [event for event in events if event.family not in ("cuda", "usdt")]
    cuda = [event for event in events if event.family == "cuda"]
    blocked = _own_waits(trace, charge)
    yield _samples(trace, "CPU", "cores busy", "cpu", charge)
    yield _spans("off-CPU", "threads blocked", [charge(wait.stack) for wait in blocked], blocked)
    yield _spans("operators", "threads inside", [call.name for call in calls], calls)
    yield _spans("CUDA", "threads inside", [call.name for call in cuda], cuda)
    waiting = [threads.get(delay.tid, f"thread {delay.tid}") for delay in delays]
    yield _spans("run queue", "threads waiting for a CPU", waiting, delays)
    yield _samples(trace, "faults", "faults a second", "fault", charge)
    audit = trace.audit or ()
    at = _column(event.time_ns for event in audit)
    names = [event.verdict or event.action for event in audit]
    yield _Events("audit", "events", names, at, np.zeros(len(at)), np.ones(len(at)), per_second=False)


def _samples(trace: Trace, lane: str, unit: str, kind: str, charge: Callable[[int], str]) -> _Events:
    """Return samples; one of CPU time stands for the period that it ends, the others for a moment."""
    rows = [sample for sample in trace.samples if sample.kind == kind]
    period = 1e9 / trace.meta.hz if kind == "cpu" else 0.0
    start = np.maximum(_column(row.time_ns for row in rows) - period, 0)
    names = [charge(row.stack) for row in rows]
    return _Events(lane, unit, names, start, np.full(len(rows), period), _column(row.value for row in rows))


def _spans(
    lane: str, unit: str, names: list[str], rows: Sequence[OffCpu | OperatorEvent | RunDelay]
) -> _Events:
    """Return what took time; its weight is that time in seconds."""
    length = _column(row.duration_ns for row in rows)
    return _Events(lane, unit, names, _column(row.time_ns for row in rows), length, length / 1e9)


def _column(values: Iterable[float]) -> Values:
    return np.fromiter(values, dtype=np.float64)


def _charger(trace: Trace) -> Callable[[int], str]:
    """Return a function from a stack to the name of the line it is charged to."""
    names: dict[int, str] = {}

    def charge(stack: int) -> str:
        if stack not in names:
            line = line_of(trace.frames_of(stack))
            names[stack] = place(line) if is_own(line) else OTHER
        return names[stack]

    return charge


def _own_waits(trace: Trace, charge: Callable[[int], str]) -> Sequence[OffCpu]:
    """Return the waits of the user's own lines; all of them where there are none."""
    every = trace.offcpu or ()
    return [wait for wait in every if charge(wait.stack) != OTHER] or every


def _series(events: _Events, end_ns: int, bins: int, scale: float) -> tuple[Series, ...]:
    known = {name: index for index, name in enumerate(dict.fromkeys(events.names))}
    which = np.fromiter((known[name] for name in events.names), dtype=np.intp)
    weights = dict(zip(known, np.bincount(which, weights=events.weight), strict=True))
    kept = [name for name in sorted(weights, key=lambda n: (-weights[n], n)) if name != OTHER][:SERIES]
    if len(kept) < len(weights):
        kept.append(OTHER)
    place_of = np.array([kept.index(name) if name in kept else len(kept) - 1 for name in known])
    which = place_of[which]
    found = []
    for index, name in enumerate(kept):
        chosen = which == index
        values = binned(events.start[chosen], events.length[chosen], events.weight[chosen], end_ns, bins)
        found.append(Series(name, scale * values))
    return tuple(found)


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
