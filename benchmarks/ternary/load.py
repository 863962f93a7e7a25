"""A machine that is too busy, on purpose and for a short while."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def burners(per_core: int) -> Iterator[None]:
    """Keep `per_core` processes busy for each core; they end by themselves after a minute."""
    code = "import time\nend = time.time() + 60\nwhile time.time() < end: pass"
    count = per_core * len(os.sched_getaffinity(0))
    started = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    try:
        time.sleep(0.5)
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def median_us(call: Callable[[], object], seconds: float = 1.5) -> float:
    """Return the median wall time of a call."""
    taken: list[int] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken) < 5:
        start = time.perf_counter_ns()
        call()
        taken.append(time.perf_counter_ns() - start)
    return statistics.median(taken) / 1e3
