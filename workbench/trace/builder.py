"""Collects what a tier sees and turns it into a :class:`Trace`: equal frames and stacks are kept once."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable

from .model import FaultCount, Frame, Sample, SystemCall, ThreadWaits, Trace, TraceMeta
from .symbols.cells import cell_number, source_line


class TraceBuilder:
    """A trace in the making.

    Attributes
    ----------
    waits, calls, faults
        None until the tier knows them.
    lost
        Dropped events by reason.
    notes
        What the reader should know.
    processes
        Names by process id.
    """

    def __init__(self) -> None:
        self.waits: list[ThreadWaits] | None = None
        self.calls: list[SystemCall] | None = None
        self.faults: list[FaultCount] | None = None
        self.lost: dict[str, int] = {}
        self.notes: list[str] = []
        self.processes: dict[int, str] = {}
        self._frames: dict[Frame, int] = {}
        self._stacks: dict[tuple[int, ...], int] = {}
        self._samples: list[Sample] = []
        self._cells: dict[str, int] = {}

    def python_frame(self, name: str, file: str, line: int) -> Frame:
        """Return the frame of a Python line: cells by their number, with the line's text."""
        if file not in self._cells:
            self._cells[file] = cell_number(file)
        cell = self._cells[file]
        return Frame("python", name, f"In[{cell}]" if cell else file, line, cell, source_line(file, line))

    def sample(
        self, kind: str, time_ns: int, pid: int, tid: int, value: float, frames: Iterable[Frame]
    ) -> None:
        """Add one sample; frames outermost first."""
        stack = tuple(self._frames.setdefault(frame, len(self._frames)) for frame in frames)
        index = self._stacks.setdefault(stack, len(self._stacks))
        self._samples.append(Sample(kind, time_ns, pid, tid, value, index))

    def finish(self, meta: TraceMeta) -> Trace:
        """Return the trace."""
        return Trace(
            meta,
            tuple(self._frames),
            tuple(self._stacks),
            tuple(sorted(self._samples, key=lambda sample: sample.time_ns)),
            None if self.waits is None else tuple(self.waits),
            None if self.calls is None else tuple(self.calls),
            None if self.faults is None else tuple(self.faults),
        )


def machine() -> dict[str, str]:
    """Return what the reader of a trace should know about where it was made."""
    return {
        "kernel": platform.release(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpus": str(os.cpu_count() or 0),
        "python": platform.python_version(),
    }
