"""Names for the records of a traced process and its children, resolved while they are fresh.

Code objects die and processes end, so Python frames are looked up as records arrive; native addresses wait
until the end. Mappings of a child are read at its first record, those of the root process again at the end.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..layout import Layout
from ..records import RECORD_AUDIT, RECORD_EXEC, RECORD_FORK, RECORD_STACK, Record
from ..rows import Frame
from .audit import audit_target
from .interpreter import Interpreter, find_interpreter
from .native import NativeMap
from .python import Code, CodeReader, Memory

_KERNEL = Frame("native", "[kernel]", "[kernel]")
_EVAL_LOOP = "_PyEval_EvalFrameDefault"
_LOOKS, _LOOK_SECONDS = 10, 0.1


Named = tuple[tuple[Code, int], ...]
"""Code objects and offsets into their bytecode, innermost first."""


class ResolvedRecord(NamedTuple):
    """A record whose Python frames have names; innermost first."""

    record: Record
    python: Named
    target: str = ""
    """Of RECORD_AUDIT: the path or address."""


class _Process:
    """What we know of one process."""

    def __init__(self, pid: int, layout: Layout | None, parent: _Process | None) -> None:
        self.layout: Layout | None = None
        self.codes: dict[int, tuple[bytes, Code | None]] = {}
        self.fresh: dict[tuple[tuple[int, int], ...], Named] = {}
        self.checked: dict[int, Code | None] = {}
        self.parent = parent
        self.name = _comm(pid)
        self.memory: Memory | None = None
        self.native: NativeMap | None = None
        with contextlib.suppress(OSError):  # it has ended already; a fork shares what its parent had
            self.memory = Memory(pid)
            self.native = NativeMap(pid)
        self.reader: CodeReader | None = None
        self.looked_at, self.looks_left = 0.0, _LOOKS
        if layout is not None:
            self.read_with(layout)

    def read_with(self, layout: Layout) -> None:
        """From now on name Python frames with an interpreter's layout."""
        self.layout = layout
        self.forget()
        if self.memory is not None:
            self.reader = CodeReader(self.memory, layout.code)

    def due(self) -> bool:
        """Whether it is time to look (again) for an interpreter: a new program takes a moment to map it."""
        now = time.monotonic()
        if self.reader is not None or not self.looks_left or now < self.looked_at + _LOOK_SECONDS:
            return False
        self.looked_at, self.looks_left = now, self.looks_left - 1
        return True

    def named(self, frames: tuple[tuple[int, int], ...]) -> Named:
        """Return frames with their code objects, of those looked at since :meth:`forget` without another look."""
        found = self.fresh.get(frames)
        if found is None:
            codes = ((self.code(address), offset) for address, offset in frames)
            found = self.fresh[frames] = tuple((code, offset) for code, offset in codes if code is not None)
        return found

    def forget(self) -> None:
        """Look again whether code objects are what they were."""
        self.fresh.clear()
        self.checked.clear()

    def code(self, address: int) -> Code | None:
        if address not in self.checked:
            self.checked[address] = self._code(address)
        return self.checked[address]

    def _code(self, address: int) -> Code | None:
        known = self.codes.get(address)
        identity = self.reader.identity(address) if self.reader else b""
        if known and (known[0] == identity or not identity):
            return known[1]
        found = self.reader.read(address) if self.reader and identity else None
        if found is None:
            # Gone: what was there before is what was sampled. A fork that has ended: its parent has the same.
            found = known[1] if known else self.parent.code(address) if self.parent else None
        self.codes[address] = (identity, found)
        return found

    def close(self) -> None:
        if self.memory is not None:
            self.memory.close()


class Symbols:
    """Resolves the records of one session.

    Parameters
    ----------
    pid
        The process at the root of the traced tree.
    layout
        Its interpreter's layout; None: no Python frames.
    learned
        Called with each interpreter found in a process below it.
    """

    def __init__(
        self, pid: int, layout: Layout | None, learned: Callable[[int, Interpreter], None] = lambda *_: None
    ) -> None:
        self._root, self._learned = pid, learned
        self._processes = {pid: _Process(pid, layout, None)}
        self._processes[pid].looks_left = 0
        self._frames: dict[tuple[int, int], Frame] = {}
        self.stacks: dict[int, ResolvedRecord] = {}
        """By the id other records and tables refer to."""

    def begin(self) -> None:
        """Begin with the next batch of records; of one batch each code object is looked at once.

        Looking means reading the process's memory. Once for each frame of each sample, that was most of what a trace
        at 999 Hz cost the notebook.
        """
        for process in self._processes.values():
            process.forget()

    def resolve(self, record: Record) -> ResolvedRecord:
        """Return the record with its Python frames named; called soon after it was taken."""
        if record.kind == RECORD_FORK:
            self._start(record.weight, self._processes.get(record.pid))
        elif record.kind == RECORD_EXEC:
            self._start(record.pid, None)
        process = self._processes.get(record.pid) or self._start(record.pid, None)
        if process.due():
            self._look(record.pid, process)
        target = audit_target(record) if record.kind == RECORD_AUDIT else ""
        resolved = ResolvedRecord(record, process.named(record.python), target)
        if record.kind == RECORD_STACK:
            self.stacks[record.stack] = resolved
        return resolved

    def refresh(self) -> None:
        """Read the root process's mappings again: libraries loaded during the trace are there now."""
        with contextlib.suppress(OSError):  # it has ended; what we had stays
            self._processes[self._root].native = NativeMap(self._root)

    def native(self, record: Record, *, has_python: bool) -> list[Frame]:
        """Return native frames, innermost first.

        With Python frames known, only what lies between them and the CPU: up to the interpreter, and not its
        evaluation loop, which *is* the Python frame. Without frame pointers (most wheels) that is the leaf
        alone.
        """
        process = self._processes[record.pid]
        mapped = process.native or (process.parent.native if process.parent else None)
        frames = [_KERNEL] if record.flags & 1 else []
        if mapped is None:
            return frames
        for depth, address in enumerate(record.native):
            library = mapped.library(address)
            if library is None:
                break
            frame = self._frame(record.pid, mapped, address)
            inside = has_python and _is_interpreter(library)
            if not inside or (depth == 0 and frame.name != _EVAL_LOOP):
                frames.append(frame)
            if inside:
                break
        return frames

    def names(self) -> dict[int, str]:
        """Return process names by id."""
        return {pid: process.name for pid, process in self._processes.items()}

    def close(self) -> None:
        """Close the memory files."""
        for process in self._processes.values():
            process.close()

    def _look(self, pid: int, process: _Process) -> None:
        found, _ = find_interpreter(pid)
        if found is not None:
            process.native = NativeMap(pid)
            process.read_with(found.layout)
            self._learned(pid, found)

    def _start(self, pid: int, parent: _Process | None) -> _Process:
        before = self._processes.get(pid)
        if before is not None:
            before.close()
        process = self._processes[pid] = _Process(pid, parent.layout if parent else None, parent)
        return process

    def _frame(self, pid: int, mapped: NativeMap, address: int) -> Frame:
        key = (pid, address)
        if key not in self._frames:
            self._frames[key] = mapped.frame(address)
        return self._frames[key]


@functools.cache
def _is_interpreter(library: str) -> bool:
    name = os.path.basename(library)  # noqa: PTH119
    return name.startswith(("python", "libpython"))


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "?"
