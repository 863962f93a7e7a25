"""The tier that needs nothing: a thread of our own looks at the others' Python frames.

Works on any system Python runs on. What it cannot see is None. A sample weighs the CPU time its thread used
since the tick before (where the system tells), so sleeping threads weigh nothing. It looks when the
interpreter lets it run: long C calls that hold the GIL are charged to the line after them.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from types import FrameType

from ...errors import TraceError
from ..builder import TraceBuilder
from ..rows import FaultCount
from .base import Wanted

_MAX_DEPTH = 128

Stack = tuple[tuple[str, str, int], ...]
"""(function, file, line), outermost first."""


class SamplerTier:
    """Sample this process from inside.

    Parameters
    ----------
    wanted
        What to trace.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="workbench-sampler", daemon=True)
        self._seen: list[tuple[int, int, float | None, Stack]] = []

    def start(self) -> None:
        """Begin.

        Raises
        ------
        TraceError
            If another process is wanted: there is no way in without the kernel.
        """
        if self._wanted.pid != os.getpid():
            raise TraceError("only this process can be sampled from inside", where=f"pid {self._wanted.pid}")
        self._began = time.monotonic_ns()
        self._faults = page_faults()
        self._thread.start()

    def stop(self) -> TraceBuilder:
        """End and return what was seen."""
        self._stop.set()
        self._thread.join()
        builder = TraceBuilder()
        for time_ns, tid, seconds, stack in self._seen if "cpu" in self._wanted.probes else ():
            frames = [builder.python_frame(*entry) for entry in stack]
            value = 1 / self._wanted.hz if seconds is None else seconds
            builder.sample("cpu", time_ns - self._began, os.getpid(), tid, value, builder.stack(frames))
        if "faults" in self._wanted.probes and self._faults is not None:
            builder.faults = [FaultCount(os.getpid(), (page_faults() or 0) - self._faults)]
        builder.notes.append("sampled between bytecodes: time in long C calls shows on the line after them")
        return builder

    def _run(self) -> None:
        clocks = ThreadClocks()
        clocks.elapsed()
        while not self._stop.wait(1 / self._wanted.hz):
            now, used = time.monotonic_ns(), clocks.elapsed()
            for tid, stack in snapshot().items():
                seconds = used.get(tid) if used is not None else None
                if seconds != 0.0:
                    self._seen.append((now, tid, seconds, stack))


class ThreadClocks:
    """CPU time each thread used between two looks."""

    def __init__(self) -> None:
        self._before: dict[int, float] = {}

    def elapsed(self) -> dict[int, float] | None:
        """Return CPU seconds by native thread id since the last call; None where the system does not tell."""
        clock_of = getattr(time, "pthread_getcpuclockid", None)
        if clock_of is None:
            return None
        now: dict[int, float] = {}
        for thread in threading.enumerate():
            # A thread may end between being listed and being asked.
            with contextlib.suppress(OSError):
                if thread.ident is not None and thread.native_id is not None:
                    now[thread.native_id] = time.clock_gettime(clock_of(thread.ident))
        used = {tid: seconds - self._before.get(tid, seconds) for tid, seconds in now.items()}
        self._before = now
        return used


def snapshot() -> dict[int, Stack]:
    """Return the Python stack of every other thread, by native thread id."""
    natives = {thread.ident: thread.native_id for thread in threading.enumerate()}
    own = threading.get_ident()
    frames = sys._current_frames()
    return {
        native: _stack(frames[ident])
        for ident, native in natives.items()
        if ident in frames and ident != own and native is not None
    }


def _stack(frame: FrameType | None) -> Stack:
    entries: list[tuple[str, str, int]] = []
    while frame is not None and len(entries) < _MAX_DEPTH:
        code = frame.f_code
        entries.append((code.co_qualname, code.co_filename, frame.f_lineno or code.co_firstlineno))
        frame = frame.f_back
    return tuple(reversed(entries))


def page_faults() -> int | None:
    """Return this process's page faults so far; None on systems that do not count them."""
    try:
        import resource
    except ImportError:
        return None
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_minflt + usage.ru_majflt
