"""What profiling costs: every probe set of ours, and the profilers people use instead, on three workloads.

All contenders run in this process, one after another, in an order that rotates: the same objects, the same
memory. The figure is the CPU time of the working thread per step, which neighbours on a shared machine
disturb least; probes run on that thread, so their cost is in it. What a profiler costs by *stopping* threads
is not, so a process with 128 idle threads is timed by the clock on the wall. scalene has to start the process,
so it is compared with a plain process of the same kind.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .. import profilers
from ..harness import Contender, interleave, progress
from ..profilers import Profiler
from ..samples import Samples
from ..workloads import WORKLOADS, Step

IDLE_THREADS = 128
PLAIN = "plain"
_LIMIT_S = 45.0

_CHILD = """
import pathlib, time
from benchmarks.workloads import WORKLOADS
step = WORKLOADS["@workload"]()
for _ in range(50): step()
count, start = 0, time.thread_time()
while time.thread_time() - start < 0.5:
    for _ in range(20): step()
    count += 20
pathlib.Path("@result").write_text(str((time.thread_time() - start) / count * 1e6))
"""


def run(samples: Samples, *, quick: bool) -> None:
    """Measure; 1 round of two contenders when quick, else 5 of all."""
    for package in profilers.missing():
        print(f"not installed, so not measured: {package} (pip install {package})", file=sys.stderr)
    contenders: dict[str, Profiler] = {PLAIN: lambda: contextlib.nullcontext()}
    chosen = profilers.ours() | profilers.others()
    contenders |= {name: chosen[name] for name in ("cpu_99hz", "cprofile")} if quick else chosen
    rounds, seconds = (1, 0.05) if quick else (5, 0.25)
    for workload, make in WORKLOADS.items():
        _measure(samples, steps(workload, make(), contenders, seconds), rounds)
    idle_s = 0.05 if quick else 2.0  # long: what starting costs is not what is asked
    _measure(samples, _idle(contenders, idle_s), rounds)
    if not quick and importlib.util.find_spec("scalene"):
        for workload in WORKLOADS:
            for _ in progress(3, f"scalene, {workload}"):
                if not _scalene(samples, workload):
                    break


def _measure(samples: Samples, contenders: dict[str, Contender], rounds: int) -> None:
    interleave(samples, contenders, rounds)
    plain, *others = contenders
    for key in others:
        samples.ratio(f"{key.rpartition('.')[0]}.over_plain", key, plain)


def steps(workload: str, step: Step, contenders: dict[str, Profiler], seconds: float) -> dict[str, Contender]:
    """Return what measures a step under each profiler, by its key."""

    def contender(profiler: Profiler) -> Contender:
        def measure() -> float:
            with profiler():
                return cpu_us(step, seconds)

        return measure

    return {f"{workload}.{name}.us": contender(profiler) for name, profiler in contenders.items()}


def cpu_us(step: Callable[[], object], seconds: float) -> float:
    """Return the thread's CPU time a step, in microseconds, after a few steps to warm up."""
    for _ in range(50):
        step()
    count, start = 0, time.thread_time()
    while time.thread_time() - start < seconds:
        for _ in range(20):
            step()
        count += 20
    return (time.thread_time() - start) / count * 1e6


def _idle(contenders: dict[str, Profiler], seconds: float) -> dict[str, Contender]:
    """Return contenders that time a loop of the main thread by the wall clock, beside idle threads."""
    sampling = (PLAIN, "cpu_99hz", "default", "py_spy", "py_spy_nonblocking")

    def contender(profiler: Profiler) -> Contender:
        def measure() -> float:
            with _idle_threads(), profiler():
                return _wall_us(seconds)

        return measure

    chosen = {name: contenders[name] for name in sampling if name in contenders}
    return {f"idle_threads.{name}.us": contender(profiler) for name, profiler in chosen.items()}


@contextlib.contextmanager
def _idle_threads() -> Iterator[None]:
    done = threading.Event()
    threads = [threading.Thread(target=done.wait) for _ in range(IDLE_THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def _wall_us(seconds: float) -> float:
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for _ in range(100):
            sum(range(100))
        count += 100
    return (time.perf_counter() - start) / count * 1e6


def _scalene(samples: Samples, workload: str) -> bool:
    """Add one pair, a plain process and one that scalene started; return whether both ended in time.

    The program leaves its figure in a file. No pipes: scalene leaves processes behind that keep them open.
    """
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        program, result = Path(folder) / "program.py", Path(folder) / "result"
        program.write_text(_CHILD.replace("@workload", workload).replace("@result", str(result)))
        scalene = ["-m", "scalene", "run", "--outfile", f"{folder}/profile.json"]
        for options in ([], scalene):
            if not _ends([sys.executable, *options, str(program)]):
                print(f"scalene did not finish {workload} in {_LIMIT_S:.0f} s", file=sys.stderr)
                return False
            figures.append(float(result.read_text()))
    plain, profiled = figures
    samples.add(f"{workload}.scalene.us", profiled)
    samples.add(f"{workload}.scalene.over_plain", profiled / plain)
    return True


def _ends(command: list[str]) -> bool:
    null = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=null, stdout=null, stderr=null, start_new_session=True)
    try:
        return process.wait(_LIMIT_S) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
