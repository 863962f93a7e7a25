"""What the maps say: the verdict, the counters, what was learnt from the stable track."""

from __future__ import annotations

import time

from ..meters import Histogram, TrackStats
from ..policy import Verdict
from ..state import RouteState
from . import layout
from .carried import carried
from .pinned import Pinned, reason_name
from .places import find_slot, position, positions, version_at

LEARNT_FACTOR = 4.0
"""A canary without a latency budget may take this many times the stable track's 99th percentile."""

LEARNT_SAMPLES = 100
_LEAST_LATENCY_NS = 1_000_000


def verdict(pinned: Pinned) -> tuple[int, Verdict] | None:
    """Return the version that the kernel rolled back, and why; ``None`` while it has not."""
    control = pinned.control
    if control.state != layout.ROLLED_BACK:
        return None
    audit = control.audit
    ended = time.monotonic_ns() - audit.flip_ns
    return version_at(control, control.canary), Verdict(
        reason_name(audit.reason),
        audit.observed,
        audit.stable,
        audit.budget,
        breach_ns=audit.breach_ns,
        flip_ns=audit.flip_ns,
        decided_ns=time.time_ns() - ended,
        pid=audit.pid,
        command=audit.command.decode(errors="replace"),
    )


def track_stats(pinned: Pinned, version: int) -> TrackStats:
    """Return the counters of one version's replicas since it was entered."""
    slot = find_slot(pinned, version)
    if slot is None:
        return TrackStats()
    ones = [pinned.replicas[i] for i in positions(slot)]
    histogram = _histogram(pinned, slot)
    return TrackStats(
        sum(r.requests for r in ones),
        sum(r.errors for r in ones),
        0,
        histogram.percentile_ms(0.5),
        histogram.percentile_ms(0.99),
        sum(r.waited_ns for r in ones) / 1e6,
    )


def in_flight(pinned: Pinned, state: RouteState) -> dict[str, int]:
    """Return the unanswered requests by address, without zeros."""
    found = {}
    for track in (state.stable, state.canary, state.draining):
        for one in track.endpoints if track else ():
            index = position(pinned, track.version, one) if track else None
            if index is not None and pinned.replicas[index].in_flight:
                found[one.address] = pinned.replicas[index].in_flight
    return found


def busy(pinned: Pinned, word: int, quiet_s: float) -> list[str]:
    """Return why a replica cannot be ended yet, a line each process.

    It answers somebody, or somebody has asked through a connection that is still open in the last `quiet_s` seconds.
    """
    now = time.monotonic_ns()
    found = []
    for place, one in enumerate(pinned.replicas):
        if one.word != word or not one.pid:
            continue
        silent_s = (now - one.progress_ns) / 1e9
        sent = carried(pinned, place // layout.PER_TRACK)
        if one.in_flight or sent or (one.connections and silent_s <= quiet_s):
            found.append(
                f"process {one.pid} (place {place}): {one.in_flight} requests without an answer, "
                f"{one.connections} open connections, {one.requests} answered, the last {silent_s:.1f} s ago"
                + (f", {sent} carried to its track or unanswered there" if sent else "")
            )
    return found


def learnt_latency_ns(pinned: Pinned) -> int:
    """Return the latency a canary may take, learnt from the stable track; 0 before it has served enough."""
    slot = pinned.control.stable
    if slot >= layout.TRACKS:
        return 0
    histogram = _histogram(pinned, slot)
    p99_ms = histogram.percentile_ms(0.99)
    if p99_ms is None or sum(histogram.counts) < LEARNT_SAMPLES:
        return 0
    return max(int(p99_ms * 1e6 * LEARNT_FACTOR), _LEAST_LATENCY_NS)


def growth_pages(pinned: Pinned) -> int:
    """Return by how many pages the stable track's replicas have grown at most since they got traffic."""
    slot = pinned.control.stable
    ones = [pinned.replicas[i] for i in positions(slot)] if slot < layout.TRACKS else []
    return max((one.memory_pages - one.memory_base for one in ones if one.memory_base), default=0)


def _histogram(pinned: Pinned, slot: int) -> Histogram:
    histogram = Histogram()
    histogram.counts = list(pinned.latencies[slot])
    return histogram
