"""Function symbols of an ELF file, by file offset."""

from __future__ import annotations

import ctypes
import mmap
import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

SYMBOL = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
)
_TABLES = (2, 11)  # SHT_SYMTAB, SHT_DYNSYM
_LOADED = 1
FUNCTION_KINDS = (2, 10)
"""STT_FUNC, STT_GNU_IFUNC"""


def map_elf(path: Path) -> mmap.mmap:
    """Return a 64-bit little-endian ELF file's bytes; raise ValueError if it is none, OSError if it is not readable."""
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError(f"{path} is not a 64-bit ELF file")
    return data


def program_headers(data: mmap.mmap) -> list[tuple[int, ...]]:
    """Return the rows of the table: kind, rights, file offset, address, physical address, size in the file."""
    (table,) = struct.unpack_from("<Q", data, 32)
    (count,) = struct.unpack_from("<H", data, 56)
    return [struct.unpack_from("<IIQQQQ", data, table + 56 * index) for index in range(count)]


def loaded_segments(headers: list[tuple[int, ...]]) -> list[tuple[int, int, int]]:
    """Return file offset, link-time address and size of what is loaded."""
    return [(row[2], row[3], row[5]) for row in headers if row[0] == _LOADED]


class Elf:
    """A 64-bit little-endian ELF file's functions.

    Raises
    ------
    ValueError
        If it is not one.
    OSError
        If it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._data = map_elf(path)
        try:
            self._segments = loaded_segments(program_headers(self._data))
            self._values, self._sizes, self._names = self._read_symbols()
        except (struct.error, IndexError) as error:
            raise ValueError(f"{path} is cut short") from error

    def function(self, offset: int) -> str | None:
        """Return the (mangled) name of the function at a file offset."""
        for start, address, size in self._segments:
            if start <= offset < start + size:
                return self._at(offset - start + address)
        return None

    def address(self, name: str) -> int | None:
        """Return a symbol's link-time address, for the few we look up by name."""
        wanted = name.encode() + b"\0"
        for value, start in zip(self._values, self._names, strict=True):
            if self._data[int(start) : int(start) + len(wanted)] == wanted:
                return int(value)
        return None

    def _at(self, address: int) -> str | None:
        # As the same type: with any other, numpy first makes floats of all of libtorch's 440,000.
        index = int(self._values.searchsorted(np.uint64(address), "right")) - 1
        # Labels without a size belong to hand-written assembly: they reach to the next symbol.
        if index < 0 or (self._sizes[index] and address >= self._values[index] + self._sizes[index]):
            return None
        start = int(self._names[index])
        return self._data[start : self._data.find(b"\0", start)].decode(errors="replace")

    def _read_symbols(self) -> tuple[Any, Any, Any]:
        (table,) = struct.unpack_from("<Q", self._data, 40)
        (count,) = struct.unpack_from("<H", self._data, 60)
        sections = [
            struct.unpack_from("<IIQQQQIIQQ", self._data, table + 64 * index) for index in range(count)
        ]
        parts = [np.zeros((3, 0), np.uint64)]
        for section in sections:
            if section[1] in _TABLES:
                symbols = np.frombuffer(self._data, SYMBOL, section[5] // SYMBOL.itemsize, section[4])
                kind = symbols["info"] & 15
                symbols = symbols[np.isin(kind, FUNCTION_KINDS) & (symbols["section"] != 0)]
                names = symbols["name"].astype(np.uint64) + np.uint64(sections[section[6]][4])
                parts.append(np.stack([symbols["value"], symbols["size"], names]))
        values, sizes, names = np.concatenate(parts, axis=1)
        order = np.argsort(values, kind="stable")
        return values[order], sizes[order], names[order]


@cache
def demangle(name: str) -> str:
    """Return a C++ name as written, without its parameters; any other name as it is.

    Examples
    --------
    >>> demangle("printf")
    'printf'
    """
    if not name.startswith("_Z"):
        return name
    library = _cxx()
    if library is None:
        return name
    status = ctypes.c_int()
    pointer = library.__cxa_demangle(name.encode(), None, None, ctypes.byref(status))
    if not pointer:
        return name
    text = ctypes.string_at(pointer).decode(errors="replace")
    ctypes.CDLL(None).free(ctypes.c_void_p(pointer))
    return _without_parameters(text)


def _without_parameters(text: str) -> str:
    """Cut at the parenthesis that opens the parameters: the first outside <> that ends a name."""
    depth = 0
    for index, character in enumerate(text):
        if character == "(" and depth == 0 and index and not text.startswith("(anonymous", index):
            return text[:index]
        depth += (character == "<") - (character == ">" and text[index - 1] != "-")
    return text


@cache
def _cxx() -> Any:
    try:
        library = ctypes.CDLL("libstdc++.so.6")
    except OSError:
        return None
    library.__cxa_demangle.restype = ctypes.c_void_p
    return library
