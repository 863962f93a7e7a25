"""Exported functions of a library by pattern, and static probe points, as file offsets.

Reads only the dynamic symbol table: torch's has 74,000 names where the full one has 440,000.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .elf import FUNCTION_KINDS, SYMBOL

_DYNAMIC_SYMBOLS = 11
_LOADED, _NOTE = 1, 7
_STAPSDT = 3


@dataclass(frozen=True)
class Point:
    """A static probe point: provider and name, file offsets of its nop and of its semaphore (0: none)."""

    name: str
    offset: int
    semaphore: int


class Exports:
    """A library's dynamic symbols and notes.

    Parameters
    ----------
    handle
        Open file descriptor; stays open.

    Raises
    ------
    ValueError
        If it is not a 64-bit little-endian ELF file.
    """

    def __init__(self, handle: int) -> None:
        try:
            self._data = mmap.mmap(handle, 0, prot=mmap.PROT_READ)
            if self._data[:6] != b"\x7fELF\x02\x01":
                raise ValueError("not a 64-bit ELF file")
            self._segments = self._rows(32, 56, "<IIQQQQQQ", 56)
            self._sections = self._rows(40, 60, "<IIQQQQIIQQ", 64)
        except (struct.error, IndexError, OSError) as error:
            raise ValueError("a damaged ELF file") from error

    def functions(self, prefix: str, pattern: str = r"\w*") -> dict[str, int]:
        """Return the file offset of each function by name: the prefix, then what matches the whole pattern.

        The literal prefix is what makes it fast: torch's names are 16 MB of text.
        """
        found: dict[str, int] = {}
        expression = re.compile(pattern)
        for section in self._sections:
            if section[1] != _DYNAMIC_SYMBOLS:
                continue
            table = np.frombuffer(self._data, SYMBOL, section[5] // SYMBOL.itemsize, section[4])
            table = table[np.isin(table["info"] & 15, FUNCTION_KINDS) & (table["section"] != 0)]
            table = table[np.argsort(table["name"], kind="stable")]
            names = np.ascontiguousarray(table["name"])
            first = self._sections[section[6]][4]
            for start, name in self._strings(section[6], prefix.encode()):
                if not expression.fullmatch(name, len(prefix)):
                    continue
                at = int(names.searchsorted(names.dtype.type(start - first)))
                if at >= len(names) or names[at] != start - first:
                    continue
                offset = self._offset(int(table["value"][at]))
                if offset is not None:
                    found[name] = offset
        return found

    def variable(self, name: str) -> int | None:
        """Return the link-time address of an exported variable."""
        for section in self._sections:
            if section[1] != _DYNAMIC_SYMBOLS:
                continue
            table = np.frombuffer(self._data, SYMBOL, section[5] // SYMBOL.itemsize, section[4])
            first = self._sections[section[6]][4]
            for start, found in self._strings(section[6], name.encode()):
                rows = table[(table["name"] == start - first) & (table["section"] != 0)]
                if found == name and len(rows):
                    return int(rows["value"][0])
        return None

    def constant(self, address: int) -> int:
        """Return the 8 bytes of a constant at a link-time address; 0 when the file does not hold them."""
        offset = self._offset(address)
        return 0 if offset is None else int.from_bytes(self._data[offset : offset + 8], "little")

    def shift(self) -> int:
        """Return what to add to a link-time address, beside where the file's first byte was mapped."""
        # Mapped at `base`: link-time address a lies at base + a - (first segment's address - its offset).
        first = next(row for row in self._segments if row[0] == _LOADED)
        return first[2] - first[3]

    def _strings(self, section: int, prefix: bytes) -> Iterator[tuple[int, str]]:
        """Yield where a string of a string table begins, and the string, for all with a prefix."""
        at, end = self._sections[section][4], sum(self._sections[section][4:6])
        while (at := self._data.find(b"\0" + prefix, at, end)) >= 0:
            stop = self._data.find(b"\0", at + 1, end)
            yield at + 1, bytes(self._data[at + 1 : stop]).decode(errors="replace")
            at = stop

    def code(self, offset: int, size: int = 16) -> bytes:
        """Return the bytes at a file offset."""
        return bytes(self._data[offset : offset + size])

    def points(self) -> Iterator[Point]:
        """Yield the static probe points (``.note.stapsdt``)."""
        base = next((s[3] for s in self._sections if self._name(s) == ".stapsdt.base"), 0)
        for section in self._sections:
            if section[1] != _NOTE or self._name(section) != ".note.stapsdt":
                continue
            at, end = section[4], section[4] + section[5]
            while at + 12 <= end:
                owner, size, kind = struct.unpack_from("<III", self._data, at)
                body = at + 12 + (owner + 3 & ~3)
                if kind == _STAPSDT:
                    yield from self._point(body, size, base)
                at = body + (size + 3 & ~3)

    def _point(self, at: int, size: int, base: int) -> Iterator[Point]:
        location, noted_base, semaphore = struct.unpack_from("<QQQ", self._data, at)
        provider, name = bytes(self._data[at + 24 : at + size]).split(b"\0")[:2]
        # Prelinking moves the library and leaves the notes behind.
        moved = base - noted_base if base else 0
        offset = self._offset(location + moved)
        counter = self._offset(semaphore + moved) if semaphore else 0
        if offset is not None:
            yield Point(f"{provider.decode()}:{name.decode()}", offset, counter or 0)

    def _offset(self, address: int) -> int | None:
        for kind, _, start, virtual, _, size, *_ in self._segments:
            if kind == _LOADED and virtual <= address < virtual + size:
                return int(address - virtual + start)
        return None

    def _rows(self, table_at: int, count_at: int, form: str, size: int) -> list[tuple[int, ...]]:
        (table,) = struct.unpack_from("<Q", self._data, table_at)
        (count,) = struct.unpack_from("<H", self._data, count_at)
        return [struct.unpack_from(form, self._data, table + size * index) for index in range(count)]

    def _name(self, section: tuple[int, ...]) -> str:
        (index,) = struct.unpack_from("<H", self._data, 62)
        start = self._sections[index][4] + section[0]
        return bytes(self._data[start : self._data.find(b"\0", start)]).decode(errors="replace")
