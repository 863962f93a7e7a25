"""Learns how to walk native frames without frame pointers, function by function, from the stacks a trace shows.

A library like libtorch describes 335,000 functions; a trace sees hundreds. The rules of those seen are sent to the
kernel side (``bpf/native.bpf.h``), which walks one frame further the next time. So that this takes two rounds and not
one for each frame, what looks like a return address on that part of the stack is learned as well.
"""

from __future__ import annotations

import bisect
import contextlib
import struct
import time
from collections.abc import Callable
from pathlib import Path

from .records import Record
from .symbols.files import mapped_file
from .symbols.python import Memory
from .symbols.unwind import FrameTable, frame_table
from .wire import MAX_RULES, Rules

_STACK_BYTES = 8192
_WORDS = struct.Struct(f"<{_STACK_BYTES // 8}Q")
_PAGE = 12
_MAPS_SECONDS = 0.5
_SEND_SECONDS, _SEND_SECONDS_LATER, _EARLY_SECONDS = 0.1, 1.0, 2.0
_MAX_TAKEN = 16384
_MESSAGE_ROWS = 4096
_ROW = struct.Struct("<QIhH")


class Unwinding:
    """Rules of one process.

    Parameters
    ----------
    pid
        The process at the root; what it forks shares its addresses.
    send
        Takes rules for the collector.
    """

    def __init__(self, pid: int, send: Callable[[Rules], None]) -> None:
        self._pid, self._send = pid, send
        self._code: list[tuple[int, int, int, tuple[str, str, str]]] = []
        self._tables: dict[tuple[str, str, str], FrameTable | None] = {}
        self._starts: list[int] = []
        self._functions: dict[int, tuple[int, list[bytes]]] = {}
        self._missed: set[int] = set()
        self._settled: set[int] = set()
        self._taken: set[tuple[int, ...]] = set()  # stacks with nothing more to learn of, for now
        self._elsewhere: set[int] = set()  # pages without code, most of what lies on a stack
        self._rows, self._sent, self._full = 0, 0, False
        self._stack_pointer = 0
        self._began = self._sent_at = time.monotonic()
        self._looked = -_MAPS_SECONDS
        self._read_maps()
        self._memory: Memory | None = None
        with contextlib.suppress(OSError):
            self._memory = Memory(pid)

    def take(self, record: Record) -> None:
        """Learn the functions of a stack."""
        native = record.native
        if not native or native in self._taken or record.pid != self._pid or self._full:
            return
        if len(self._taken) >= _MAX_TAKEN:
            self._taken.clear()
        self._taken.add(native)
        before = self._rows
        if native[0] >> _PAGE in self._elsewhere:
            self._read_maps()
        for depth, address in enumerate(native):
            if address not in self._settled and self._learn(address - bool(depth)):
                self._settled.add(address)
        if self._rows != before:
            self._stack_pointer = record.stack_pointer

    def look(self) -> None:
        """Send what is new: soon at first, later seldom, because it is all rules every time."""
        now = time.monotonic()
        early = now < self._began + _EARLY_SECONDS
        pause = _SEND_SECONDS if early else _SEND_SECONDS_LATER
        if self._rows == self._sent or now < self._sent_at + pause:
            return
        self._learn_ahead()
        self._sent, self._sent_at = self._rows, now
        rows: list[bytes] = []
        for start in self._starts:
            rows += self._functions[start][1]
        for first in range(0, len(rows), _MESSAGE_ROWS):
            part = b"".join(rows[first : first + _MESSAGE_ROWS])
            self._send(Rules(first, len(rows), part))

    def _learn_ahead(self) -> None:
        """Learn what looks like a return address on the stack that showed something new last."""
        if self._memory is None:
            return
        with contextlib.suppress(OSError):  # the end of the stack, or of the thread
            for word in _WORDS.unpack(self._memory.read(self._stack_pointer, _STACK_BYTES)):
                if word >> _PAGE not in self._elsewhere and word not in self._settled:
                    self._learn(word - 1)

    def notes(self) -> list[str]:
        """Return what the reader of the trace should know."""
        return ["some native stacks end early: more functions than there is room for"] if self._full else []

    def close(self) -> None:
        """Close the memory file."""
        if self._memory is not None:
            self._memory.close()

    def _learn(self, address: int) -> bool:
        """Learn the function at an address; whether there is nothing more to learn of it."""
        index = bisect.bisect_right(self._starts, address) - 1
        if (index >= 0 and address < self._functions[self._starts[index]][0]) or address >> 4 in self._missed:
            return True
        found = self._find(address)
        if not found:
            return address >> 4 in self._missed
        start = found[0][0]
        if start in self._functions:
            return True
        if self._rows + len(found) > MAX_RULES:
            self._full = True
            return False
        self._rows += len(found)
        bisect.insort(self._starts, start)
        self._functions[start] = (found[-1][0], [_ROW.pack(*row) for row in found])
        return True

    def _find(self, address: int) -> list[tuple[int, int, int, int]]:
        """Return a function's rows (address, offset, saved, kind) where it lies in the process."""
        index = bisect.bisect_right(self._code, (address, 1 << 64)) - 1
        if index < 0 or address >= self._code[index][1]:
            self._elsewhere.add(address >> _PAGE)
            return []
        start, _, shift, file = self._code[index]
        table = self._table(file)
        linked = table.address(address - start + shift) if table else None
        rows = table.function(linked) if table and linked is not None else []
        if not rows or linked is None:
            self._missed.add(address >> 4)
        return [(address - (linked or 0) + row.address, row.offset, row.saved, row.kind) for row in rows]

    def _table(self, file: tuple[str, str, str]) -> FrameTable | None:
        if file not in self._tables:
            # None: no file, deleted, or without rules; frame pointers then.
            named = file[0].startswith("/")
            self._tables[file] = frame_table(mapped_file(self._pid, *file)) if named else None
        return self._tables[file]

    def _read_maps(self) -> None:
        """Read what the process executes; again, now and then, when a thread was seen to execute something else."""
        now = time.monotonic()
        if now < self._looked + _MAPS_SECONDS:
            return
        self._looked = now
        self._elsewhere.clear()
        self._taken.clear()
        with contextlib.suppress(OSError):  # it has ended
            lines = Path(f"/proc/{self._pid}/maps").read_text(errors="replace").splitlines()
            fields = [[*line.split(None, 5), ""] for line in lines if "x" in line.partition(" ")[2][:4]]
            self._code = sorted(
                (*_range(row[0]), int(row[2], 16), (row[5], row[3], row[4])) for row in fields
            )


def _range(text: str) -> tuple[int, int]:
    start, _, end = text.partition("-")
    return int(start, 16), int(end, 16)
