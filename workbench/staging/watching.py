"""A deployment while it works: what changed between two readings, as rates."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import UnknownDeployment
from ..render.table import Cell, Table
from ..store import Store
from .deployment import find
from .status import DeploymentStatus, TrackStatus, status_of

_MIB = 1 << 20
_SHOWN_EVENTS = 6


@dataclass(frozen=True)
class Watched:
    """One reading and the time since the one before it.

    Parameters
    ----------
    status
        The reading.
    rates
        By track: requests and errors a second, and milliseconds a second that its threads waited for a processor
        (``None`` where the route does not count that).
    """

    status: DeploymentStatus
    rates: dict[str, tuple[float, float, float | None]]

    def table(self) -> Table:
        """Return it as a table, one row a track, with the newest events below."""
        rows: list[tuple[Cell, ...]] = []
        for track in self.status.tracks:
            rate = self.rates.get(track.track, (None, None, None))
            memory = sum(one.rss_bytes for one in track.replicas) / _MIB
            alive = f"{sum(one.pid > 0 for one in track.replicas)}/{len(track.replicas)}"
            times = (track.p50_ms, track.p99_ms)
            rows.append((track.track, track.version, f"{track.weight:.4g}", alive, *rate, *times, memory))
        columns = ("track", "version", "weight", "alive", "requests/s", "errors/s", "waits ms/s")
        one = self.status
        title = f"{one.name}@{one.env}  {one.url}  {one.phase}  (route: {one.route})"
        said = [event.text for event in one.events[-_SHOWN_EVENTS:]]
        return Table((*columns, "p50 ms", "p99 ms", "MiB"), rows, title, "; ".join(reversed(said)))

    def __str__(self) -> str:
        return self.table().text()

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/plain": self.table().text(), "text/html": self.table().html()}


def watch(store: Store, name: str, *, every_s: float = 1.0) -> Iterator[Watched]:
    """Yield a reading every `every_s` seconds until the deployment is gone.

    Raises
    ------
    UnknownDeployment
        If there is none at the beginning.
    """
    deployment = find(store, name)
    before, before_s = status_of(deployment), time.monotonic()
    yield Watched(before, {})
    while True:
        time.sleep(every_s)
        try:
            now, now_s = status_of(deployment), time.monotonic()
        except UnknownDeployment:
            return
        yield Watched(now, _rates(before, now, now_s - before_s))
        before, before_s = now, now_s


def _rates(
    before: DeploymentStatus, now: DeploymentStatus, seconds: float
) -> dict[str, tuple[float, float, float | None]]:
    found = {}
    for track in now.tracks:
        old = next((one for one in before.tracks if one.version == track.version), None)
        if old is not None and track.requests is not None and old.requests is not None:
            found[track.track] = _rate(old, track, seconds)
    return found


def _rate(old: TrackStatus, new: TrackStatus, seconds: float) -> tuple[float, float, float | None]:
    def change(one: float | None, two: float | None) -> float:
        return max((two or 0) - (one or 0), 0) / seconds  # a route that was started again counts from 0

    waits = None if new.waited_ms is None else change(old.waited_ms, new.waited_ms)
    return change(old.requests, new.requests), change(old.errors, new.errors), waits
