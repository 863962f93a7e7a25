"""Durations in powers of two: what the kernel side counts, and percentiles from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SLOTS = 32


@dataclass(frozen=True)
class Latency:
    """A distribution of durations.

    Parameters
    ----------
    count, errors
        Events; how many of them failed.
    total_ns, max_ns
        Sum and longest.
    slots
        Slot k counts durations in [2^k, 2^(k+1)) ns; the last one everything longer.
    """

    count: int
    errors: int
    total_ns: int
    max_ns: int
    slots: tuple[int, ...]

    def percentile(self, share: float) -> float:
        """Return the duration, in ns, that `share` of the events do not exceed.

        Within a slot the events are taken as evenly spread, so the answer is within a factor of two; never
        more than the longest event.

        Examples
        --------
        >>> Latency(4, 0, 5000, 2000, (0,) * 10 + (4,) + (0,) * 21).percentile(0.5)
        1536.0
        """
        wanted, seen = share * sum(self.slots), 0
        for slot, count in enumerate(self.slots):
            if count and seen + count >= wanted:
                low = float(2**slot)
                return min(low + low * max(wanted - seen, 0.0) / count, float(self.max_ns))
            seen += count
        return 0.0


def merge(parts: Iterable[Latency]) -> Latency:
    """Return the distribution of all events of some distributions.

    Examples
    --------
    >>> one = Latency(1, 0, 3, 3, (0, 1) + (0,) * 30)
    >>> merge([one, one]).count, merge([]).count
    (2, 0)
    """
    rows = list(parts)
    slots = tuple(sum(column) for column in zip(*(row.slots for row in rows), strict=True)) or (0,) * SLOTS
    return Latency(
        sum(row.count for row in rows),
        sum(row.errors for row in rows),
        sum(row.total_ns for row in rows),
        max((row.max_ns for row in rows), default=0),
        slots,
    )
