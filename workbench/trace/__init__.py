"""Profile what runs in a process: CPU, scheduling, page faults, system calls, down to the cell and line.

::

    with trace.session(probes=("cpu", "sched", "faults", "syscalls")) as recorder:
        work()
    TraceReport(recorder.trace)

A tier sees events (:mod:`.tiers`), a :class:`Trace` keeps them (:mod:`.model`), reports read them
(:mod:`.reports`).
"""

from .model import Trace, TraceMeta
from .recorder import session
from .reports.difference import DifferenceReport
from .reports.report import TraceReport
from .rows import Frame, Sample

__all__ = ["DifferenceReport", "Frame", "Sample", "Trace", "TraceMeta", "TraceReport", "session"]
