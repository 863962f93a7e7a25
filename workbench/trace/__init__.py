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

if TYPE_CHECKING:
    from .model import Trace, TraceMeta
    from .recorder import session
    from .reports.difference import DifferenceReport
    from .reports.report import TraceReport
    from .rows import Frame, Sample

__all__ = ["DifferenceReport", "Frame", "Sample", "Trace", "TraceMeta", "TraceReport", "session"]

# Imported when first used: the collector is in this package too, and must stay small.
_HOMES = {
    "DifferenceReport": ".reports.difference",
    "Frame": ".rows",
    "Sample": ".rows",
    "Trace": ".model",
    "TraceMeta": ".model",
    "TraceReport": ".reports.report",
    "session": ".recorder",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
