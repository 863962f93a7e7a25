"""How long a call takes on a machine that others use too.

One thread: the processor time of the calling thread, which a neighbour lengthens a little (caches) but not by the
time it takes away. Several threads: the wall clock, of which only short times mean anything here.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

Call = Callable[[], object]


def call_us(call: Call, threads: int = 1, *, seconds: float = 0.02, least: int = 5) -> float:
    """Return the lower quartile of a call's time in microseconds (the tenth percentile of several threads).

    What reading the clock takes, half a microsecond here, is no part of it.
    """
    clock = time.thread_time_ns if threads == 1 else time.perf_counter_ns
    taken: list[int] = []
    end = time.perf_counter() + seconds
    while len(taken) < least or time.perf_counter() < end:
        start = clock()
        call()
        taken.append(clock() - start)
    taken.sort()
    return max(taken[len(taken) // (4 if threads == 1 else 10)] - _reading_ns(clock), 1) / 1e3


@functools.cache
def _reading_ns(clock: Callable[[], int]) -> int:
    return min(-(clock() - clock()) for _ in range(1000))
