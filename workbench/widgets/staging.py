"""A deployment while it works: the newest reading, and how latency, rates and memory went until then."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..render.lines import Axes, lines
from .live import LiveView

if TYPE_CHECKING:
    from ..staging import Watched
    from ..staging.status import TrackStatus

KEPT = 300
"""Readings drawn of each track."""

MEASURES = {
    "p99": "ms",
    "p50": "ms",
    "jitter": "ms",
    "requests": "per s",
    "errors": "per s",
    "waits": "ms per s",
    "memory": "MB",
}
"""What is drawn of each track, and its unit. Jitter is the distance of the 99th percentile from the median; waits
is the time that its threads stood ready but had no processor."""

_STATIC = ("p99", "requests", "memory")  # of a saved notebook: what says most
Curve = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Watching:
    """One moment of a watch: a table, and curves by measure and track.

    Parameters
    ----------
    now
        The newest reading.
    curves
        Pairs (seconds since the watch began, value), by measure and track.
    """

    now: Watched
    curves: Mapping[str, Mapping[str, Curve]]

    def __str__(self) -> str:
        return str(self.now)

    def text(self) -> str:
        """Return the table."""
        return str(self)

    def html(self) -> str:
        """Return the table and the curves, without scripts."""
        drawn = [
            lines(self.curves[measure], Axes("s", f"{measure}, {MEASURES[measure]}"), measure).html()
            for measure in _STATIC
            if any(len(points) > 1 for points in self.curves.get(measure, {}).values())
        ]
        return self.now.table().html() + "".join(drawn)

    def view(self) -> LiveView:
        """Return the moment as a live view; each next one updates it in place."""
        status = self.now.status
        data = {
            "title": f"{status.name}@{status.env}",
            "url": status.url,
            "phase": status.phase,
            "route": status.route,
            "columns": [["share", "weight"], ["alive", "alive"], *([key, _head(key)] for key in MEASURES)],
            "tracks": [_row(track, self.now) for track in status.tracks],
            "charts": [[key, MEASURES[key], _rounded(curves)] for key, curves in self.curves.items()],
            "events": _events(self.now),
        }
        return LiveView("staging", data, self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self.view().mimebundle()


class StagingWatch:
    """Collects readings and shows each with those before it.

    Parameters
    ----------
    show
        Given the moment to show, in place of the one before.
    clock
        Seconds; another one in tests.

    Examples
    --------
    A watch in a frontend that has anywidget but not the JupyterLab extension:

    >>> def follow(name):
    ...     from workbench import api
    ...     made = []
    ...     def show(moment):
    ...         if not made:
    ...             made.append(moment.view().widget())
    ...             display(made[0])
    ...         made[0].data = dict(moment.view().data)
    ...     api.watch(name, seconds=60, show=StagingWatch(show))
    """

    def __init__(
        self, show: Callable[[Watching], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._show, self._clock, self._began = show, clock, clock()
        self._curves: dict[str, dict[str, deque[tuple[float, float]]]] = {
            measure: defaultdict(lambda: deque(maxlen=KEPT)) for measure in MEASURES
        }

    def __call__(self, reading: Watched) -> None:
        """Take a reading in and show it."""
        at_s = self._clock() - self._began
        for track in reading.status.tracks:
            for measure, value in figures(track, reading).items():
                if value is not None:
                    self._curves[measure][track.track].append((at_s, value))
        frozen = {m: {t: tuple(points) for t, points in c.items()} for m, c in self._curves.items()}
        self._show(Watching(reading, frozen))


def figures(track: TrackStatus, reading: Watched) -> dict[str, float | None]:
    """Return every measure of a track, None for what is not known at this reading."""
    requests, errors, waits = reading.rates.get(track.track, (None, None, None))
    known = track.p50_ms is not None and track.p99_ms is not None
    return {
        "p99": track.p99_ms,
        "p50": track.p50_ms,
        "jitter": (track.p99_ms or 0) - (track.p50_ms or 0) if known else None,
        "requests": requests,
        "errors": errors,
        "waits": waits,
        "memory": sum(one.rss_bytes for one in track.replicas) / 1e6,
    }


def _head(measure: str) -> str:
    unit = MEASURES[measure]
    return f"{measure} {unit}".replace(" per s", "/s")


def _row(track: TrackStatus, reading: Watched) -> dict[str, Any]:
    alive = sum(one.pid > 0 for one in track.replicas)
    facts = {"track": track.track, "version": track.version, "weight": track.weight}
    facts |= {"share": f"{100 * track.weight:.4g} %", "alive": f"{alive}/{len(track.replicas)}"}
    return {**facts, **figures(track, reading)}


def _rounded(curves: Mapping[str, Curve]) -> dict[str, list[list[float]]]:
    """Return what a chart of a few hundred pixels needs, and no digit more: it is sent with each reading."""
    return {
        track: [[round(at, 2), float(f"{value:.4g}")] for at, value in points]
        for track, points in curves.items()
    }


def _events(reading: Watched) -> list[list[str]]:
    """Return what happened, newest first: time of day, words, and ``rollback`` for the audit list's."""
    said = [(event.time_ns, event.text, "event") for event in reading.status.events]
    for one in reading.status.rollbacks:
        why = one.evidence() if one.by == "sentinel" else one.reason
        words = f"version {one.version} rolled back by the {one.by}: {why}"
        said.append((one.decided_ns, words, "rollback"))
    times = [time.strftime("%H:%M:%S", time.localtime(at / 1e9)) for at, *_ in said]
    rows = sorted(zip(said, times, strict=True), key=lambda row: -row[0][0])
    return [[clock, words, kind] for (_, words, kind), clock in rows]
