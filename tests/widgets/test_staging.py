"""A watch draws what it has seen so far, by track, and keeps the table's text for a terminal."""

from __future__ import annotations

import itertools

from workbench.staging import Watched
from workbench.staging.status import DeploymentStatus, ReplicaStatus, TrackStatus
from workbench.widgets.staging import KEPT, StagingWatch, Watching


def reading(p99_ms: float | None, *, rate: float | None = None) -> Watched:
    replica = ReplicaStatus("1-1", 7, "ready", 0, 50_000_000, "")
    track = TrackStatus("stable", 1, "sha256:a", 1.0, (replica,), 10, 0, 1.0, p99_ms)
    status = DeploymentStatus("m", "staging", "http://x", "stable", "proxy", 1, 1, (track,), (), ())
    return Watched(status, {} if rate is None else {"stable": (rate, 0.0, None)})


def watched(*readings: Watched) -> list[Watching]:
    shown: list[Watching] = []
    watch = StagingWatch(shown.append, clock=itertools.count().__next__)
    for one in readings:
        watch(one)
    return shown


def test_the_first_reading_is_a_table_and_later_ones_have_curves() -> None:
    first, second = watched(reading(2.0), reading(3.0, rate=5.0))
    assert "<svg" not in first.html()
    assert second.curves["p99"]["stable"] == ((1, 2.0), (2, 3.0))
    assert second.curves["requests"]["stable"] == ((2, 5.0),)
    assert second.html().count("<svg") == 2  # latency and memory: one request rate is no curve yet
    assert "<script" not in second.html()
    assert str(second) == str(reading(3.0, rate=5.0))


def test_what_is_not_measured_is_not_drawn() -> None:
    last = watched(reading(None), reading(None))[-1]
    assert last.html().count("<svg") == 1  # memory
    assert last.view().data["tracks"][0]["jitter"] is None


def test_a_long_watch_keeps_the_newest() -> None:
    last = watched(*[reading(float(i)) for i in range(KEPT + 10)])[-1]
    points = last.curves["p99"]["stable"]
    assert (len(points), points[-1][1]) == (KEPT, KEPT + 9)
