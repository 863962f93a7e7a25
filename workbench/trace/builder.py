"""Collects what a tier sees and turns it into a :class:`Trace`: equal frames and stacks are kept once.

What a trace keeps is bounded. Beyond :data:`MAX_STACKS` distinct stacks a new one is cut to the line it is
charged to, so tables stay exact and only the flame graph gets coarser; beyond :data:`MAX_FRAMES` distinct
frames all others are one. Both are noted in the trace.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from .attribution import line_of
from .model import Trace, TraceMeta
from .rows import (
    NO_STACK,
    Allocation,
    AuditEvent,
    FaultCount,
    Frame,
    OffCpu,
    Operator,
    OperatorEvent,
    RunDelay,
    Sample,
    SystemCall,
    ThreadWaits,
)
from .symbols.cells import cell_number, source_line

T = TypeVar("T")
MAX_STACKS = 65_536
MAX_FRAMES = 65_536
MAX_DEPTH = 256
_NOT_KEPT = Frame("native", "(deeper frames not kept)", "")
_OTHER = Frame("native", "(more functions than are kept)", "")


class TraceBuilder:
    """A trace in the making.

    Attributes
    ----------
    waits, calls, faults, delays, offcpu, allocations, operators, cuda, usdt, events, audit
        None until the tier knows them.
    lost
        Dropped events by reason.
    notes
        What the reader should know.
    processes, threads
        Names by process and by thread id.
    """

    def __init__(self) -> None:
        self.waits: list[ThreadWaits] | None = None
        self.calls: list[SystemCall] | None = None
        self.faults: list[FaultCount] | None = None
        self.delays: list[RunDelay] | None = None
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
        self.threads: dict[int, str] = {}
        self._samples: list[Sample] = []
        self._frames: dict[Frame, int] = {}
        self._numbers: dict[int, int] = {}  # by identity of a kept frame: hashing its six fields costs more
        self._stacks: dict[tuple[int, ...], int] = {}
        self._cut = 0
        self._cells: dict[str, int] = {}
        self._python: dict[tuple[str, str, int], Frame] = {}

    def python_frame(self, name: str, file: str, line: int) -> Frame:
        """Return the frame of a Python line: cells by their number, with the line's text."""
        key = (name, file, line)
        if key not in self._python:
            if file not in self._cells:
                self._cells[file] = cell_number(file)
            cell = self._cells[file]
            shown = f"In[{cell}]" if cell else file
            self._python[key] = Frame("python", name, shown, line, cell, source_line(file, line))
        return self._python[key]

    def stack(self, frames: Iterable[Frame]) -> int:
        """Return the number of a stack, outermost frame first; -1 for an empty one."""
        kept = tuple(frames)
        if not kept:
            return NO_STACK
        if len(kept) > MAX_DEPTH:
            kept = (*kept[: MAX_DEPTH - 1], _NOT_KEPT)
        key = tuple([self._frame(frame) for frame in kept])
        if key in self._stacks:
            return self._stacks[key]
        if len(self._stacks) >= MAX_STACKS:
            self._cut += 1
            key = (self._frame(line_of(kept)), self._frame(_NOT_KEPT))
        return self._stacks.setdefault(key, len(self._stacks))

    def empty_stack(self) -> int:
        """Return the number of the stack without frames."""
        return self._stacks.setdefault((), len(self._stacks))

    def sample(self, kind: str, time_ns: int, pid: int, tid: int, value: float, stack: int) -> None:
        """Add one sample; its stack by number."""
        stack = self.empty_stack() if stack == NO_STACK else stack
        self._samples.append(Sample(kind, time_ns, pid, tid, value, stack))

    def finish(self, meta: TraceMeta) -> Trace:
        """Return the trace."""
        if self._cut:
            note = f"{self._cut:,} samples beyond {MAX_STACKS:,} distinct stacks keep only their line"
            meta = replace(meta, notes=(*meta.notes, note))
        return Trace(
            meta,
            tuple(self._frames),
            tuple(self._stacks),
            tuple(sorted(self._samples, key=_time)),
            waits=_kept(self.waits),
            calls=_kept(self.calls),
            faults=_kept(self.faults),
            delays=None if self.delays is None else tuple(sorted(self.delays, key=_time)),
            offcpu=None if self.offcpu is None else tuple(sorted(self.offcpu, key=_time)),
            allocations=_kept(self.allocations),
            operators=_kept(self.operators),
            cuda=_kept(self.cuda),
            usdt=_kept(self.usdt),
            events=None if self.events is None else tuple(sorted(self.events, key=_time)),
            audit=None if self.audit is None else tuple(sorted(self.audit, key=_time)),
        )

    def _frame(self, frame: Frame) -> int:
        number = self._numbers.get(id(frame))
        if number is not None:
            return number
        if frame not in self._frames and len(self._frames) >= MAX_FRAMES:
            frame = _OTHER
        if frame not in self._frames:
            self._frames[frame] = self._numbers[id(frame)] = len(self._frames)
        return self._frames[frame]


def _kept(rows: list[T] | None) -> tuple[T, ...] | None:
    return None if rows is None else tuple(rows)


def _time(row: Sample | RunDelay | OffCpu | OperatorEvent | AuditEvent) -> int:
    return row.time_ns


def machine() -> dict[str, str]:
    """Return what the reader of a trace should know about where it was made."""
    return {
        "kernel": platform.release(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpus": str(os.cpu_count() or 0),
        "python": platform.python_version(),
    }
