"""What a process mapped and did not unmap: arithmetic of address ranges, exact to the byte."""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..records import (
    MEMORY_BREAK,
    MEMORY_FILE,
    MEMORY_MAP,
    MEMORY_REMAP,
    MEMORY_UNMAP,
    MemoryBody,
)

_PAGE = 4096


@dataclass
class Sums:
    """Of one allocator and stack: held and total bytes and blocks."""

    bytes: int = 0
    blocks: int = 0
    total_bytes: int = 0
    total_blocks: int = 0


@dataclass
class AddressSpace:
    """The ranges of one process that were mapped during the trace.

    Parameters
    ----------
    heap_end
        End of the heap when the trace began, 0 when unknown.

    Examples
    --------
    >>> space = AddressSpace()
    >>> space.apply(MEMORY_MAP, MemoryBody(stack=1, address=4096, length=8192, old_address=0, old_length=0))
    >>> space.apply(MEMORY_UNMAP, MemoryBody(stack=2, address=4096, length=4096, old_address=0, old_length=0))
    >>> [(allocator, stack, sums.bytes) for allocator, stack, sums in space.sums()]
    [('mmap', 1, 4096)]
    """

    heap_end: int = 0
    _starts: list[int] = field(default_factory=list)
    _ranges: list[tuple[int, str, int]] = field(default_factory=list)
    """(end, allocator, stack) of the range at the same index of the sorted starts"""
    _totals: dict[tuple[str, int], Sums] = field(default_factory=lambda: defaultdict(Sums))

    def apply(self, action: int, body: MemoryBody) -> None:
        """Take in one change, in order of time."""
        length = -(-body.length // _PAGE) * _PAGE
        if action == MEMORY_MAP:
            self._add("mmap", body.stack, body.address, body.address + length, body.length)
        elif action in (MEMORY_FILE, MEMORY_UNMAP):
            self._remove(body.address, body.address + length)
        elif action == MEMORY_REMAP:
            old_length = -(-body.old_length // _PAGE) * _PAGE
            self._remove(body.old_address, body.old_address + old_length)
            grown = max(body.length - body.old_length, 0)
            self._add("mmap", body.stack, body.address, body.address + length, grown)
        elif action == MEMORY_BREAK:
            self._move_heap(body)

    def sums(self) -> Iterator[tuple[str, int, Sums]]:
        """Yield allocator, stack and what it adds up to."""
        for sums in self._totals.values():
            sums.bytes = sums.blocks = 0
        for start, (end, allocator, stack) in zip(self._starts, self._ranges, strict=True):
            sums = self._totals[allocator, stack]
            sums.bytes += end - start
            sums.blocks += 1
        yield from ((allocator, stack, sums) for (allocator, stack), sums in self._totals.items())

    def _move_heap(self, body: MemoryBody) -> None:
        before, self.heap_end = self.heap_end, body.address
        if not before or before == body.address:
            return
        if body.address > before:
            self._add("brk", body.stack, before, body.address, body.address - before)
        else:
            self._remove(body.address, before)

    def _add(self, allocator: str, stack: int, start: int, end: int, counted: int) -> None:
        self._remove(start, end)
        index = bisect.bisect_left(self._starts, start)
        self._starts.insert(index, start)
        self._ranges.insert(index, (end, allocator, stack))
        sums = self._totals[allocator, stack]
        sums.total_bytes += counted
        sums.total_blocks += 1

    def _remove(self, start: int, end: int) -> None:
        """Cut a range out; what sticks out on either side stays."""
        index = max(bisect.bisect_right(self._starts, start) - 1, 0)
        while index < len(self._starts) and self._starts[index] < end:
            low, (high, allocator, stack) = self._starts[index], self._ranges[index]
            if high <= start:
                index += 1
                continue
            del self._starts[index], self._ranges[index]
            for left, right in ((low, min(high, start)), (max(low, end), high)):
                if left < right:
                    self._starts.insert(index, left)
                    self._ranges.insert(index, (right, allocator, stack))
                    index += 1


def heap_end(pid: int) -> int:
    """Return where a process's heap ends now, or 0 when it has none or is not ours to look at."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines()
    except OSError:
        return 0
    ends = [int(line.split("-")[1].split()[0], 16) for line in lines if line.endswith("[heap]")]
    return max(ends, default=0)
