"""Collects what a tier sees and turns it into a :class:`Trace`: equal frames and stacks are kept once."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from .model import Trace, TraceMeta
from .rows import (
    Allocation,
    AuditEvent,
    FaultCount,
    Frame,
    OffCpu,
    Operator,
    OperatorEvent,
    Sample,
    SystemCall,
    ThreadWaits,
)
from .symbols.cells import cell_number, source_line

_Row = TypeVar("_Row")


class TraceBuilder:
    """A trace in the making.

    Attributes
    ----------
    waits, calls, faults, offcpu, allocations, operators, cuda, usdt, events, audit
        Rows of the trace; None until the tier knows them.
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
        self.offcpu: list[OffCpu] | None = None
        self.allocations: list[Allocation] | None = None
        self.operators: list[Operator] | None = None
        self.cuda: list[Operator] | None = None
        self.usdt: list[Operator] | None = None
        self.events: list[OperatorEvent] | None = None
        self.audit: list[AuditEvent] | None = None
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

    def stack(self, frames: Iterable[Frame]) -> int:
        """Return the index of a stack; frames outermost first."""
        stack = tuple(self._frames.setdefault(frame, len(self._frames)) for frame in frames)
        return self._stacks.setdefault(stack, len(self._stacks))

    def sample(
        self, kind: str, time_ns: int, pid: int, tid: int, value: float, frames: Iterable[Frame]
    ) -> None:
        """Add one sample; frames outermost first."""
        self._samples.append(Sample(kind, time_ns, pid, tid, value, self.stack(frames)))

    def finish(self, meta: TraceMeta) -> Trace:
        """Return the trace."""
        return Trace(
            meta,
            frames=tuple(self._frames),
            stacks=tuple(self._stacks),
            samples=tuple(sorted(self._samples, key=_time)),
            waits=_rows(self.waits),
            calls=_rows(self.calls),
            faults=_rows(self.faults),
            offcpu=_rows(self.offcpu, _time),
            allocations=_rows(self.allocations),
            operators=_rows(self.operators),
            cuda=_rows(self.cuda),
            usdt=_rows(self.usdt),
            events=_rows(self.events, _time),
            audit=_rows(self.audit, _time),
        )


def _time(row: Any) -> int:
    return int(row.time_ns)


def _rows(rows: list[_Row] | None, key: Callable[[_Row], Any] | None = None) -> tuple[_Row, ...] | None:
    if rows is None:
        return None
    return tuple(sorted(rows, key=key) if key else rows)


def machine() -> dict[str, str]:
    """Return what the reader of a trace should know about where it was made."""
    return {
        "kernel": platform.release(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpus": str(os.cpu_count() or 0),
        "python": platform.python_version(),
    }
