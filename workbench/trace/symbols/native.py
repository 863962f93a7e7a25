"""Native functions of a process: memory map + ELF symbols."""

from __future__ import annotations

import bisect
import os
from functools import cache
from pathlib import Path

from ..rows import Frame
from .elf import Elf, demangle
from .files import HeldFile, elsewhere, hold
from .unwind import frame_table

_UNKNOWN = Frame("native", "?", "[unmapped]")


class NativeMap:
    """The executable mappings of a process, as they were when this was made.

    Parameters
    ----------
    pid
        The process; it may end afterwards.

    Raises
    ------
    OSError
        If the process is gone or is not ours to look at.
    """

    def __init__(self, pid: int) -> None:
        self._starts: list[int] = []
        self._ranges: list[tuple[int, int, str]] = []
        self._held: dict[str, HeldFile | None] = {}
        away = elsewhere(pid)
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            fields = line.split(None, 5)
            if "x" not in fields[1]:
                continue
            start, end = (int(part, 16) for part in fields[0].split("-"))
            self._starts.append(start)
            path = fields[5] if len(fields) > 5 else "[jit]"
            self._ranges.append((end, int(fields[2], 16) - start, path))
            if away and path.startswith("/") and path not in self._held:
                self._held[path] = hold(pid, path, fields[3], fields[4])

    def library(self, address: int) -> str | None:
        """Return the file an address lies in, or None when it is not code."""
        found = self._find(address)
        return found[2] if found else None

    def frame(self, address: int) -> Frame:
        """Return the function an address lies in."""
        found = self._find(address)
        if found is None:
            return _UNKNOWN
        _, shift, path = found
        if not path.startswith("/"):
            return Frame("native", path, path)
        held = self._held.get(path)
        file = held.path if held else Path(path)
        elf = _open(file)
        name = elf.function(address + shift) if elf else None
        shown = demangle(name) if name else _unnamed(file, address + shift)
        return Frame("native", shown, os.path.basename(path))  # noqa: PTH119

    def _find(self, address: int) -> tuple[int, int, str] | None:
        index = bisect.bisect_right(self._starts, address) - 1
        return self._ranges[index] if index >= 0 and address < self._ranges[index][0] else None


def _unnamed(path: Path, offset: int) -> str:
    """Return what to call a function of a stripped library: functions are told apart by where they begin."""
    table = frame_table(path)
    address = table.address(offset) if table else None
    rows = table.function(address) if table and address is not None else []
    return f"function at {rows[0].address:#x}" if rows else "?"


def _open(path: Path) -> Elf | None:
    """Return a library's symbols, or None when it is deleted, stripped of its headers or not readable."""
    try:
        status = path.stat()
    except OSError:
        return None
    return _kept(path, status.st_dev, status.st_ino, status.st_mtime_ns)


@cache
def _kept(path: Path, *_identity: int) -> Elf | None:
    try:
        return Elf(path)
    except (OSError, ValueError):
        return None
