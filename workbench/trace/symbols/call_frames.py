"""Reads one function's call frame information (DWARF 5, section 6.4, as ``.eh_frame`` has it on x86-64)."""

from __future__ import annotations

import mmap
import struct
from typing import NamedTuple

_RELATIVE_4 = 0x1B
_SIZES = {0x0B: 4, 0x03: 4, 0x0C: 8, 0x04: 8, 0: 8}
_LARGEST_ENTRY = 1 << 16
BASE_POINTER, STACK_POINTER, RETURN_ADDRESS = 6, 7, 16
FROM_STACK, FROM_BASE, OUTERMOST = 1, 2, 3
"""Kinds of rule: enum rule_kind."""


class Row(NamedTuple):
    """From this link-time address on.

    Parameters
    ----------
    address
        Of an instruction.
    kind
        The frame begins at an offset from the stack pointer or the base pointer; 0: not known.
    offset
        Bytes from that register to the frame's end; the return address lies below it.
    saved
        Bytes from the frame's end to the caller's base pointer; 0: it is in the register still.
    """

    address: int
    kind: int
    offset: int
    saved: int


class _State(NamedTuple):
    register: int
    offset: int
    saved: int
    outermost: bool

    def row(self, address: int) -> Row:
        if self.outermost:
            return Row(address, OUTERMOST, 0, 0)
        kind = {STACK_POINTER: FROM_STACK, BASE_POINTER: FROM_BASE}.get(self.register, 0)
        if not 0 < self.offset < 2**31 or not -(2**15) <= self.saved <= 0:
            kind = 0
        return Row(address, kind, self.offset if kind else 0, self.saved if kind else 0)


class _Cursor:
    def __init__(self, data: mmap.mmap, at: int) -> None:
        self.data, self.at = data, at

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize(form)
        return int(value)

    def byte(self) -> int:
        value = self.data[self.at]
        self.at += 1
        return value

    def unsigned(self) -> int:
        """Return a number of 7 bits a byte."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ValueError("a number of more than 64 bits")

    def skip(self, size: int) -> None:
        self.at += size

    def signed(self) -> int:
        start = self.at
        value = self.unsigned()
        bits = 7 * (self.at - start)
        return value - (1 << bits) if value >> (bits - 1) else value


def _end(cursor: _Cursor) -> int:
    """Read an entry's length; return where it ends."""
    size = cursor.number("I")
    if size > _LARGEST_ENTRY:
        raise ValueError("an entry that is damaged")
    return size + cursor.at


class FunctionReader:
    """Reads one function's entry (FDE) and what it shares with others (CIE).

    Parameters
    ----------
    data
        The file.
    at
        Where the entry is, in bytes.
    entry
        Its link-time address.

    Raises
    ------
    ValueError, IndexError, struct.error
        If it is damaged, or in a form that compilers for x86-64 do not write.
    """

    def __init__(self, data: mmap.mmap, at: int, entry: int) -> None:
        cursor = _Cursor(data, at)
        self._end = _end(cursor)
        common = cursor.at - cursor.number("I")
        self._shared, self._shared_end = self._read_common(data, common)
        where = entry + cursor.at - at
        self._start = where + cursor.number("i")
        self._stop = self._start + cursor.number("I")
        cursor.skip(cursor.unsigned())
        self._own = cursor
        self._state = self._initial = _State(0, 0, 0, outermost=False)
        self._kept: list[_State] = []

    def rows(self) -> list[Row]:
        """Return the rows."""
        self._rows: list[Row] = []
        self._at = self._start
        self._run(self._shared, self._shared_end)
        self._initial = self._state
        self._run(self._own, self._end)
        self._add()
        return [*self._rows, Row(self._stop, 0, 0, 0)]

    def _read_common(self, data: mmap.mmap, at: int) -> tuple[_Cursor, int]:
        cursor = _Cursor(data, at)
        end = _end(cursor)
        cursor.number("I")
        version = cursor.byte()
        stop = data.find(b"\0", cursor.at)
        letters = data[cursor.at : stop]
        cursor.at = stop + 1
        self._code_unit, self._data_unit = cursor.unsigned(), cursor.signed()
        if cursor.byte() != RETURN_ADDRESS or version not in (1, 3) or letters[:1] != b"z":
            raise ValueError("a form that is not read")
        size = cursor.unsigned()
        body = cursor.at + size
        for letter in letters[1:].decode():
            if letter == "R" and cursor.byte() != _RELATIVE_4:
                raise ValueError("addresses of another form")
            if letter == "P":
                form = cursor.byte() & 0x0F
                if form not in _SIZES:
                    raise ValueError("a pointer of another form")
                cursor.skip(_SIZES[form])
            elif letter == "L":
                cursor.byte()
        cursor.at = body
        return cursor, end

    def _add(self) -> None:
        row = self._state.row(self._at)
        if self._rows and self._rows[-1].address == row.address:
            self._rows.pop()
        if not self._rows or self._rows[-1][1:] != row[1:]:
            self._rows.append(row)

    def _advance(self, units: int) -> None:
        self._add()
        self._at += units * self._code_unit

    def _save(self, register: int, offset: int) -> None:
        if register == BASE_POINTER:
            self._state = self._state._replace(saved=offset)

    def _run(self, cursor: _Cursor, end: int) -> None:
        while cursor.at < end:
            code = cursor.byte()
            if code >> 6 == 1:
                self._advance(code & 63)
            elif code >> 6 == 2:
                self._save(code & 63, cursor.unsigned() * self._data_unit)
            elif code >> 6 == 3:
                self._restore(code & 63)
            else:
                self._extended(code, cursor)

    def _restore(self, register: int) -> None:
        if register == BASE_POINTER:
            self._state = self._state._replace(saved=self._initial.saved)

    def _extended(self, code: int, cursor: _Cursor) -> None:
        state = self._state
        if code in (2, 3, 4):
            self._advance(cursor.number({2: "B", 3: "H", 4: "I"}[code]))
        elif code in (5, 0x11):
            register = cursor.unsigned()
            self._save(register, (cursor.unsigned() if code == 5 else cursor.signed()) * self._data_unit)
        elif code == 6:
            self._restore(cursor.unsigned())
        elif code == 7:
            self._state = state._replace(outermost=cursor.unsigned() == RETURN_ADDRESS or state.outermost)
        elif code == 8:
            self._save(cursor.unsigned(), 0)
        elif code == 0x0A:
            self._kept.append(state)
        elif code == 0x0B:
            self._state = self._kept.pop()
        elif code == 0x0C:
            self._state = state._replace(register=cursor.unsigned(), offset=cursor.unsigned())
        elif code == 0x0D:
            self._state = state._replace(register=cursor.unsigned())
        elif code == 0x0E:
            self._state = state._replace(offset=cursor.unsigned())
        elif code == 0x0F:  # an expression: not followed
            cursor.skip(cursor.unsigned())
            self._state = state._replace(register=-1)
        elif code == 0x2E:
            cursor.unsigned()
        elif code in (0x10, 0x16):
            self._unknown(cursor.unsigned())
            cursor.skip(cursor.unsigned())
        elif code:
            raise ValueError(f"instruction {code:#x} is not read")

    def _unknown(self, register: int) -> None:
        """Give up on rows that hang on a register whose place is computed."""
        if register in (BASE_POINTER, RETURN_ADDRESS):
            self._state = self._state._replace(register=-1)
