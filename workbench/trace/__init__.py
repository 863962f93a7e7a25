"""Profile what runs in a process: CPU, scheduling, page faults, system calls, down to the cell and line.

::

    with trace.session(probes=("cpu", "sched", "faults", "syscalls")) as recorder:
        work()
    TraceReport(recorder.trace)

A tier sees events (:mod:`.tiers`), a :class:`Trace` keeps them (:mod:`.model`), reports read them
(:mod:`.reports`).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .model import Trace, TraceMeta
from .recorder import session
from .rows import Frame, Sample

if TYPE_CHECKING:
    from .reports.difference import DifferenceReport
    from .reports.report import TraceReport

__all__ = ["DifferenceReport", "Frame", "Sample", "Trace", "TraceMeta", "TraceReport", "session"]

# Reports draw and need numpy; the collector, which must stay small, does neither.
_REPORTS = {"DifferenceReport": ".reports.difference", "TraceReport": ".reports.report"}


def __getattr__(name: str) -> Any:
    if name not in _REPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_REPORTS[name], __name__), name)
