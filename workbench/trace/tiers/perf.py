"""The tier without BPF rights: the kernel's own sampling clock, on ourselves.

Sampling one's own threads with perf_event_open (user mode only) is open to everybody at the usual paranoia
level: true on-CPU samples with the native function, threads and children included. The Python frames come
from our own looks at the threads, joined by time (``looks.py``).
The process's own accounting adds page faults.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from pathlib import Path

from ...errors import NoPrivilege, TraceError
from ..builder import TraceBuilder
from ..perf_event import ClockSample, SampleRing, online_cpus, open_clock
from ..rows import FaultCount, Frame
from ..symbols.native import NativeMap
from .base import Wanted
from .looks import Looks
from .sampler import page_faults, snapshot

_EVAL_LOOP = "_PyEval_EvalFrameDefault"
_MAX_THREADS = 256


class PerfTier:
    """Sample this process with the kernel's clock.

    Parameters
    ----------
    wanted
        What to trace.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="workbench-sampler", daemon=True)
        self._rings: list[SampleRing] = []
        self._ticks: list[ClockSample] = []
        self._looks = Looks(limit_ns=3 * 10**9 // wanted.hz)

    def start(self) -> None:
        """Begin.

        Raises
        ------
        NoPrivilege
            If the kernel does not let a process sample itself.
        TraceError
            If another process is wanted.
        """
        if self._wanted.pid != os.getpid():
            raise TraceError("only this process can be sampled without BPF", where=f"pid {self._wanted.pid}")
        if platform.system() != "Linux":
            raise NoPrivilege("perf events are a Linux feature", where=platform.system())
        self._began = time.monotonic_ns()
        self._faults = page_faults()
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        self._thread.start()

    def stop(self) -> TraceBuilder:
        """End and return what was seen."""
        self._stop.set()
        self._thread.join()
        self._drain()
        lost = sum(ring.lost for ring in self._rings)
        self._close()
        builder = TraceBuilder()
        if lost:
            builder.lost["records (ring buffer full)"] = lost
        if "cpu" in self._wanted.probes:
            self._add_samples(builder)
        if "faults" in self._wanted.probes and self._faults is not None:
            builder.faults = [FaultCount(os.getpid(), (page_faults() or 0) - self._faults)]
        builder.notes.append("user mode only; Python lines are joined to the kernel's samples by time")
        return builder

    def _open(self) -> None:
        """Open a clock for each thread on each CPU; all of a CPU share a buffer."""
        tids = sorted(int(task.name) for task in Path("/proc/self/task").iterdir())[:_MAX_THREADS]
        for cpu in online_cpus():
            ring: SampleRing | None = None
            for tid in tids:
                try:
                    handle = open_clock(self._wanted.hz, pid=tid, cpu=cpu, own=True)
                except ProcessLookupError:  # the thread ended since we listed it
                    continue
                if ring is None:
                    ring = self._add_ring(handle)
                else:
                    ring.redirect(handle)

    def _add_ring(self, handle: int) -> SampleRing:
        try:
            ring = SampleRing(handle)
        except OSError as error:
            os.close(handle)
            raise NoPrivilege(
                f"no memory for a sample buffer: {error.strerror}",
                where="perf_event",
                fix="raise kernel.perf_event_mlock_kb or the memlock limit",
            ) from error
        self._rings.append(ring)
        return ring

    def _run(self) -> None:
        own = threading.get_native_id()
        while not self._stop.wait(1 / self._wanted.hz):
            now = time.monotonic_ns()
            self._looks.add(now, snapshot())
            self._drain(skip=own)

    def _drain(self, skip: int = 0) -> None:
        skip = skip or self._thread.native_id or 0
        for ring in self._rings:
            self._ticks.extend(sample for sample in ring.read() if sample.tid != skip)

    def _close(self) -> None:
        for ring in self._rings:
            ring.close()
        self._rings = []

    def _add_samples(self, builder: TraceBuilder) -> None:
        mapped = NativeMap(os.getpid())
        natives: dict[int, Frame] = {}
        for tick in self._ticks:
            if tick.address not in natives:
                natives[tick.address] = mapped.frame(tick.address)
            frames = [builder.python_frame(*entry) for entry in self._looks.at(tick.tid, tick.time_ns)]
            if not frames or natives[tick.address].name != _EVAL_LOOP:
                frames.append(natives[tick.address])
            time_ns = max(tick.time_ns - self._began, 0)
            builder.sample("cpu", time_ns, tick.pid, tick.tid, 1 / self._wanted.hz, builder.stack(frames))
