"""What a route counts: requests, errors and latency by track, and how each replica does."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..codec import register
from .shadow import ShadowStats

_SUB = 4  # buckets an octave: a percentile read from the histogram is at most 25 % too high
_BUCKETS = 26 * _SUB  # 1 us to 67 s


@register("route_track_stats")
@dataclass(frozen=True)
class TrackStats:
    """Counters of one track since the route's process started.

    Parameters
    ----------
    requests
        Finished requests.
    errors
        Those answered with a status of 500 or more, or not answered by any replica of this track.
    retries
        Attempts repeated elsewhere because a replica's connection died first; the client saw nothing of it.
    p50_ms, p99_ms
        Latency from the request's last byte in to the answer known, upper edge of the bucket; ``None`` before
        the first.
    waited_ms
        How long its threads have waited for a processor; ``None`` where the route does not count that.
    """

    requests: int = 0
    errors: int = 0
    retries: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    waited_ms: float | None = None


@register("route_stats")
@dataclass(frozen=True)
class RouteStats:
    """One reading of a route.

    Parameters
    ----------
    implementation
        Which one runs, for people.
    generation
        Of the state it follows.
    tracks
        Counters by track name.
    in_flight
        Requests that a replica is answering now, by address; absent at zero.
    unanswered
        Requests refused with 503 because no replica lived.
    shadow
        How a shadow's answers compare; ``None`` while there is none.
    """

    implementation: str
    pid: int
    generation: int
    tracks: dict[str, TrackStats]
    in_flight: dict[str, int]
    unanswered: int
    shadow: ShadowStats | None = None


class Histogram:
    """Logarithmic latency buckets, four an octave, from a microsecond up.

    Examples
    --------
    >>> h = Histogram()
    >>> for ns in range(1_000_000, 2_000_000, 10_000): h.add(ns)
    >>> 1.5 <= h.percentile_ms(0.5) <= 1.5 * 1.25
    True
    """

    def __init__(self) -> None:
        self.counts = [0] * _BUCKETS

    def add(self, duration_ns: int) -> None:
        """Count one duration."""
        us = max(duration_ns // 1000, 1)
        octave = us.bit_length() - 1
        sub = ((us << 2) >> octave) & 3  # the two bits below the leading one
        self.counts[min(octave * _SUB + sub, _BUCKETS - 1)] += 1

    def percentile_ms(self, share: float) -> float | None:
        """Return the upper edge of the bucket that holds this share of the durations."""
        rank = share * sum(self.counts)
        seen = 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if count and seen >= rank:
                octave, sub = divmod(bucket, _SUB)
                return (1 << octave) * (1 + (sub + 1) / _SUB) / 1000
        return None


@dataclass
class TrackMeter:
    """Live counters of one track."""

    requests: int = 0
    errors: int = 0
    retries: int = 0
    latency: Histogram = field(default_factory=Histogram)

    def finish(self, duration_ns: int, *, error: bool) -> None:
        """Count one finished request."""
        self.requests += 1
        self.errors += error
        self.latency.add(duration_ns)

    def read(self) -> TrackStats:
        """Return the counters as a record."""
        return TrackStats(
            self.requests,
            self.errors,
            self.retries,
            self.latency.percentile_ms(0.5),
            self.latency.percentile_ms(0.99),
        )
