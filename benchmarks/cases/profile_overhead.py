"""Whether a profile can be told from none: the CPU sampler and the default set, told from noise.

Two ways. Paired: a short block of steps without a profiler, one with it, one without again, many times; the middle over
the mean of its neighbours, so that what drifts falls out, with the standard error of the median beside it. Blocks are
added where that error is large, until it is small everywhere or the time is up. And summed: what the kernel says its
programs took, and what the reader in this process and the collector used, as shares of one CPU. The sum is exact where
the ratio is noise.

A clock without a program that takes its samples is measured as well: what any sampler at that rate pays here.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from workbench.trace import client

from .. import kernel_costs
from ..profilers import Profiler, clock, ours
from ..samples import Samples
from ..workloads import Step, mlp, tiny

_SETS = ("cpu_99hz", "cpu_999hz", "default")
_READER = "workbench-trace"
_ROUNDS, _ERROR = 12, 0.01
_WARM = 0.5
"""Of a block's time: how long steps run under a profiler before they are measured."""


def run(samples: Samples, *, quick: bool) -> None:
    """Measure; 1 round when quick, else 12 and more in at most 130 s a workload, and the sums over 3 s."""
    rounds, most_s, block_s, sum_s = (1, 0.0, 0.05, 0.1) if quick else (_ROUNDS, 130.0, 0.2, 3.0)
    for make in (mlp, tiny):
        step, sets = make(), {name: ours()[name] for name in _SETS}
        for _ in range(50):
            step()
        _pairs(
            samples, make.__name__, step, sets | {"clock_999hz": lambda: clock(999)}, rounds, most_s, block_s
        )
        for name, profiler in sets.items():
            with contextlib.suppress(PermissionError):  # the account is root's
                _sum(samples, f"{make.__name__}.{name}", step, profiler, sum_s)


def _pairs(
    samples: Samples,
    workload: str,
    step: Step,
    sets: dict[str, Profiler],
    rounds: int,
    most_s: float,
    block_s: float,
) -> None:
    """Add ratios, each round of those whose error is not small yet, and the errors."""
    end, done, wanted = time.monotonic() + most_s, 0, list(sets)
    while wanted and (done < rounds or time.monotonic() < end):
        print(f"[{done + 1}] {workload}: {', '.join(wanted)}", file=sys.stderr, flush=True)
        turn = done % len(wanted)
        before = _block(step, block_s)
        for name in wanted[turn:] + wanted[:turn]:
            before = _pair(samples, f"{workload}.{name}", step, sets[name], block_s, before)
        done += 1
        if done >= rounds:
            wanted = [name for name in sets if _error(samples, f"{workload}.{name}.over_plain") > _ERROR]
    for name in sets:
        key = f"{workload}.{name}.over_plain"
        samples.add(f"{key}_error", _error(samples, key))


def _pair(
    samples: Samples, key: str, step: Step, profiler: Profiler, seconds: float, before: tuple[float, float]
) -> tuple[float, float]:
    """Add the ratios of a block over those around it; return the block after it, which the next one begins with."""
    with profiler():
        _while(step, _WARM * seconds)
        profiled = _block(step, seconds)
    after = _block(step, seconds)
    for name, place in (("over_plain", 0), ("wall_over_plain", 1)):
        samples.add(f"{key}.{name}", 2 * profiled[place] / (before[place] + after[place]))
    return after


def _block(step: Step, seconds: float) -> tuple[float, float]:
    """Return the thread's CPU time a step, and a step's time by the clock where nothing else ran, both in s."""
    walls, count, began = [], 0, time.thread_time()
    while time.thread_time() - began < seconds:
        start = time.perf_counter()
        for _ in range(10):
            step()
        walls.append((time.perf_counter() - start) / 10)
        count += 10
    return (time.thread_time() - began) / count, statistics.median(walls)


def _error(samples: Samples, key: str) -> float:
    """Return the standard error of a ratio's median, by drawing from the ratios anew (bootstrap)."""
    values = np.array(samples.values(key))
    drawn = np.random.default_rng(0).choice(values, (1000, values.size))
    return float(np.median(drawn, axis=1).std())


def _sum(samples: Samples, key: str, step: Step, profiler: Profiler, seconds: float) -> None:
    with kernel_costs.counting(), profiler():
        _while(step, seconds / 2)  # the first samples of a trace teach the kernel to walk native frames
        mine = {*_own_programs()}
        before, used, began = kernel_costs.runs(), _used(), time.perf_counter()
        _while(step, seconds)
        after, then, wall = kernel_costs.runs(), _used(), time.perf_counter() - began
    # On a loaded machine the traced thread has but a part of the time, and there is less to take.
    samples.add(f"{key}.thread.share", seconds / wall)
    for name, start, end in zip(("reader", "collector"), used, then, strict=True):
        samples.add(f"{key}.{name}.share", (end - start) / wall)
    total = 0.0
    for number in mine & {*after}:
        first, last = before.get(number), after[number]
        ns, count = (last.ns - first.ns, last.times - first.times) if first else (last.ns, last.times)
        if count:
            samples.add(f"{key}.kernel.{last.name}.ns", ns / count)
            samples.add(f"{key}.kernel.{last.name}.per_s", count / wall)
            samples.add(f"{key}.kernel.{last.name}.share", ns / 1e9 / wall)
            total += ns / 1e9 / wall
    samples.add(f"{key}.kernel.share", total)


def _while(step: Callable[[], object], seconds: float) -> None:
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        step()


def _own_programs() -> list[int]:
    """Return the numbers of the programs our collector holds: others' are on this machine too."""
    numbers = []
    for handle in Path(f"/proc/{client.private_pid()}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            fields = dict(line.partition(":")[::2] for line in handle.read_text().splitlines())
            if "prog_id" in fields:
                numbers.append(int(fields["prog_id"]))
    return numbers


def _used() -> tuple[float, float]:
    """Return seconds of CPU our reader thread and our collector have used."""
    (reader,) = (thread.native_id for thread in threading.enumerate() if thread.name == _READER)
    return _seconds(f"/proc/{os.getpid()}/task/{reader}"), _seconds(f"/proc/{client.private_pid()}")


def _seconds(folder: str) -> float:
    return int(Path(folder, "schedstat").read_text().split()[0]) / 1e9
