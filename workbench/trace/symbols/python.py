"""Names and lines of CPython code objects, read from a process's memory.

Addresses come from a sample taken a moment ago; the code object may be gone. So memory is read through /proc
(a bad address is an error, never a crash), the type is checked, sizes are bounded. The same way works for
this process, its forks and other interpreters of the same version.
"""

from __future__ import annotations

import bisect
import os
import struct
from dataclasses import dataclass

from ..layout import CodeLayout

_TYPE_OFFSET = 8
_TYPE_NAME_OFFSET = 24
_SIZE_OFFSET = 16
_REFERENCES_END = 1 << 32  # immortal objects have 2^32 - 1
# First line, names and line table of a code object lie in here.
_IDENTITY = slice(64, 144)
_STATE_OFFSET = 32
_BYTES_DATA = 32
_MAX_NAME = 1024
_MAX_TABLE = 1 << 20
_CODE_UNIT = 2
_KINDS = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}


class Memory:
    """Another view of a process's memory; :meth:`read` raises OSError where nothing is mapped."""

    def __init__(self, pid: int) -> None:
        self._handle = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)

    def read(self, address: int, size: int) -> bytes:
        """Return exactly `size` bytes."""
        if not 0 < address < 1 << 63:
            raise OSError("not an address")
        data = os.pread(self._handle, size, address)
        if len(data) != size:
            raise OSError("not mapped")
        return data

    def word(self, address: int) -> int:
        """Return the 8 bytes at an address as a number."""
        return int.from_bytes(self.read(address, 8), "little")

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


@dataclass(frozen=True)
class Code:
    """A code object: its names, and the line of each piece of its bytecode."""

    name: str
    file: str
    first_line: int
    starts: tuple[int, ...]
    lines: tuple[int, ...]

    def line(self, offset: int) -> int:
        """Return the line at a byte offset into the bytecode."""
        index = bisect.bisect_right(self.starts, offset) - 1
        return self.lines[index] if index >= 0 and self.lines[index] else self.first_line


class CodeReader:
    """Reads code objects of one process.

    Parameters
    ----------
    memory
        Its memory.
    layout
        Offsets of its interpreter's version.
    """

    def __init__(self, memory: Memory, layout: CodeLayout) -> None:
        self._memory, self._layout = memory, layout
        self._types: dict[int, bytes] = {}
        self._strings: dict[int, str] = {}

    def identity(self, address: int) -> bytes:
        """Return bytes that change when another code object takes the place; empty when there is none.

        A freed block keeps its type but not its reference count: allocators put a pointer or 0 there.
        """
        try:
            head = self._memory.read(address, _IDENTITY.stop)
            alive = 0 < int.from_bytes(head[:_TYPE_OFFSET], "little") < _REFERENCES_END
            kind = int.from_bytes(head[_TYPE_OFFSET : _TYPE_OFFSET + 8], "little")
            return head[_IDENTITY] if alive and self._type_name(kind) == b"code" else b""
        except OSError:
            return b""

    def read(self, address: int) -> Code | None:
        """Return the code object at an address, or None when there is none (any more)."""
        layout, before = self._layout, self.identity(address)
        if not before:
            return None
        try:
            name = self._string(self._memory.word(address + layout.qualname))
            file = self._string(self._memory.word(address + layout.filename))
            (first,) = struct.unpack("<i", self._memory.read(address + layout.first_line, 4))
            table = self._bytes(self._memory.word(address + layout.line_table))
        except (OSError, ValueError):
            return None
        if self.identity(address) != before:  # it ended while we read
            return None
        starts, lines = decode_lines(table, first)
        return Code(name, file, first, starts, lines)

    def _type(self, address: int) -> bytes:
        return self._type_name(self._memory.word(address + _TYPE_OFFSET))

    def _type_name(self, kind: int) -> bytes:
        if kind not in self._types:
            name = self._memory.read(self._memory.word(kind + _TYPE_NAME_OFFSET), 8)
            self._types[kind] = name.partition(b"\0")[0]
        return self._types[kind]

    def _string(self, address: int) -> str:
        if self._type(address) != b"str":
            raise ValueError("not a string")
        length = self._memory.word(address + _SIZE_OFFSET)
        state = self._memory.read(address + _STATE_OFFSET, 1)[0]
        width, compact, ascii_only = state >> 2 & 7, state >> 5 & 1, state >> 6 & 1
        if length > _MAX_NAME or width not in _KINDS or not compact:
            raise ValueError("not a name")
        start = address + (self._layout.ascii_data if ascii_only else self._layout.wide_data)
        return self._memory.read(start, length * width).decode(_KINDS[width])

    def _bytes(self, address: int) -> bytes:
        size = self._memory.word(address + _SIZE_OFFSET)
        if self._type(address) != b"bytes" or size > _MAX_TABLE:
            raise ValueError("not a line table")
        return self._memory.read(address + _BYTES_DATA, size)


def decode_lines(table: bytes, first_line: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    r"""Return byte offsets where a line starts, and the lines (0: none), from ``co_linetable``.

    The location table of CPython 3.11 and later: entries of one head byte (1, kind: 4 bits, length - 1: 3
    bits) and what the kind says; columns are skipped.

    Examples
    --------
    >>> code = compile("a = 1\nb = 2\n", "x", "exec")
    >>> starts, lines = decode_lines(code.co_linetable, code.co_firstlineno)
    >>> sorted(set(lines))
    [0, 1, 2]
    """
    starts: list[int] = []
    lines: list[int] = []
    line, offset, at = first_line, 0, 0
    while at < len(table):
        kind, units = table[at] >> 3 & 15, (table[at] & 7) + 1
        following = at + 1
        # The next entry starts at the next byte with the top bit set.
        while following < len(table) and not table[following] & 0x80:
            following += 1
        if kind in (13, 14):
            line += _signed(table, at + 1)
        elif kind in (10, 11, 12):
            line += kind - 10
        starts.append(offset)
        lines.append(0 if kind == 15 else line)
        offset += units * _CODE_UNIT
        at = following
    return tuple(starts), tuple(lines)


def _signed(table: bytes, at: int) -> int:
    value, shift = 0, 0
    while True:
        byte = table[at]
        value |= (byte & 63) << shift
        if not byte & 64:
            return -(value >> 1) if value & 1 else value >> 1
        shift, at = shift + 6, at + 1
