"""A deployment while it works: the newest reading, and how latency, rate and memory went until then."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..render.lines import Axes, lines

if TYPE_CHECKING:
    from ..staging import Watched

KEPT = 300
"""Readings drawn of each track."""

_MEASURES = ("p99 ms", "requests/s", "MB")
Curve = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Watching:
    """One moment of a watch: a table, and curves by measure and track.

    Parameters
    ----------
    now
        The newest reading.
    curves
        Pairs (seconds since the watch began, value).
    """

    now: Watched
    curves: Mapping[str, Mapping[str, Curve]]

    def __str__(self) -> str:
        return str(self.now)

    def html(self) -> str:
        """Return the table and the curves, without scripts."""
        drawn = [
            lines(tracks, Axes("s", measure), measure).html()
            for measure, tracks in self.curves.items()
            if any(len(points) > 1 for points in tracks.values())
        ]
        return self.now.table().html() + "".join(drawn)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self.html()}


class StagingWatch:
    """Collects readings and shows each with those before it.

    Parameters
    ----------
    show
        Given the moment to show, in place of the one before.
    clock
        Seconds; another one in tests.
    """

    def __init__(
        self, show: Callable[[Watching], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._show, self._clock, self._began = show, clock, clock()
        self._curves: dict[str, dict[str, deque[tuple[float, float]]]] = {
            measure: defaultdict(lambda: deque(maxlen=KEPT)) for measure in _MEASURES
        }

    def __call__(self, reading: Watched) -> None:
        """Take a reading in and show it."""
        at_s = self._clock() - self._began
        for track in reading.status.tracks:
            memory = sum(one.rss_bytes for one in track.replicas) / 1e6
            rate = reading.rates[track.track][0] if track.track in reading.rates else None
            for measure, value in zip(_MEASURES, (track.p99_ms, rate, memory), strict=True):
                if value is not None:
                    self._curves[measure][track.track].append((at_s, value))
        frozen = {m: {t: tuple(points) for t, points in c.items()} for m, c in self._curves.items()}
        self._show(Watching(reading, frozen))
