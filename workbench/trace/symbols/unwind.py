"""Where a function's caller is, from the call frame information of an ELF file (``.eh_frame``).

Compilers write it for every function of a library, so that exceptions can pass; it says at each instruction how to
find the return address without a frame pointer. A function is read when it is asked for: the sorted index the linker
adds (``.eh_frame_hdr``) finds it among libtorch's hundreds of thousands.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path

import numpy as np

from .call_frames import FunctionReader, Row
from .elf import loaded_segments, map_elf, program_headers

_PROGRAM_INDEX = 0x6474E550
_INDEX_FORM = (1, 0x1B, 0x03, 0x3B)  # version; what linkers for Linux write: relative, 4 bytes, sorted


def frame_table(path: Path) -> FrameTable | None:
    """Return a file's table, or None when it has none or cannot be read; kept for the next trace."""
    try:
        status = path.stat()
        return _kept(path, status.st_dev, status.st_ino, status.st_mtime_ns)
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=128)
def _kept(path: Path, *_identity: int) -> FrameTable:
    return FrameTable(path)


class FrameTable:
    """The call frame information of one file.

    Raises
    ------
    ValueError
        If the file carries none in the form Linux linkers write.
    OSError
        If it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._data = map_elf(path)
        self._read: dict[int, list[Row]] = {}
        try:
            self._read_index(path)
        except (struct.error, IndexError, StopIteration) as error:
            raise ValueError(f"{path} has no index of its frames") from error

    def address(self, offset: int) -> int | None:
        """Return the link-time address of a file offset."""
        for start, address, size in self._segments:
            if start <= offset < start + size:
                return int(offset - start + address)
        return None

    def function(self, address: int) -> list[Row]:
        """Return the rows of the function an address lies in, the last where it ends; empty when there is none."""
        index = int(self._starts.searchsorted(np.int64(address), "right")) - 1
        if index < 0:
            return []
        if index not in self._read:
            self._read[index] = self._read_function(index)
        rows = self._read[index]
        return rows if rows and rows[0].address <= address < rows[-1].address else []

    def _read_function(self, index: int) -> list[Row]:
        entry = int(self._entries[index])
        try:
            return FunctionReader(self._data, self._byte_offset(entry), entry).rows()
        except (struct.error, IndexError, ValueError):
            return []  # damaged, or in a form we do not read

    def _byte_offset(self, address: int) -> int:
        for start, virtual, size in self._segments:
            if virtual <= address < virtual + size:
                return int(address - virtual + start)
        raise ValueError(f"address {address:#x} is not in the file")

    def _read_index(self, path: Path) -> None:
        headers = program_headers(self._data)
        self._segments = loaded_segments(headers)
        at, base = next((row[2], row[3]) for row in headers if row[0] == _PROGRAM_INDEX)
        if struct.unpack_from("<4B", self._data, at) != _INDEX_FORM:
            raise ValueError(f"{path} has an index of another form")
        (size,) = struct.unpack_from("<I", self._data, at + 8)
        pairs = np.frombuffer(self._data, "<i4", 2 * size, at + 12).reshape(-1, 2).astype(np.int64) + base
        self._starts, self._entries = np.ascontiguousarray(pairs[:, 0]), pairs[:, 1]
