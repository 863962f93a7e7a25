"""Ring buffer records as the kernel side lays them out (``bpf/record.h``): little-endian, naturally aligned."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from typing import NamedTuple

RECORD_CPU, RECORD_FAULT, RECORD_FORK, RECORD_EXEC = 1, 2, 3, 4
RECORD_STACK, RECORD_OFFCPU, RECORD_AUDIT, RECORD_CALL, RECORD_MEMORY = 5, 6, 7, 8, 9
RECORD_DELAY = 10
FLAG_KERNEL, FLAG_TRUNCATED = 1, 2
NATIVE_FRAMES = 32
AUDIT_ACTIONS = {1: "open", 2: "connect", 3: "send", 4: "exec", 5: "syscall"}
MEMORY_MAP, MEMORY_FILE, MEMORY_UNMAP, MEMORY_REMAP, MEMORY_BREAK = 1, 2, 3, 4, 5

_HEADER = struct.Struct("<QIIIHBB")
_COUNTS = struct.Struct("<IIQQ")
_PYTHON_FRAME = struct.Struct("<QII")
_OFFCPU = struct.Struct("<3QII16s")
_AUDIT = struct.Struct("<QQiIiI")
_CALL = struct.Struct("<3Q")
_MEMORY = struct.Struct("<5Q")
_NATIVE_OFFSET = _HEADER.size + _COUNTS.size
_PYTHON_OFFSET = _NATIVE_OFFSET + 8 * NATIVE_FRAMES
_STACKS = (RECORD_CPU, RECORD_FAULT, RECORD_STACK)
_SCANNED = struct.Struct("<8xI8xHB")
LATER = frozenset((RECORD_CPU, RECORD_FAULT, RECORD_OFFCPU, RECORD_CALL, RECORD_MEMORY, RECORD_DELAY))
"""Kinds that can wait to be parsed: there is nothing to ask their process but the names of their Python frames."""


class OffCpuBody(NamedTuple):
    """A blocked thread; stacks by id, 0: none."""

    duration: int
    stack: int
    waker_stack: int
    waker_pid: int
    waker_tid: int
    waker: str


class AuditBody(NamedTuple):
    """What a system call did; the action is the record's weight."""

    stack: int
    amount: int
    error: int
    parent: int
    directory: int
    target: bytes


class CallBody(NamedTuple):
    """A call of the function whose number is the record's weight."""

    duration: int
    bytes: int
    stack: int


class MemoryBody(NamedTuple):
    """A change of the address space; the action is the record's weight."""

    stack: int
    address: int
    length: int
    old_address: int
    old_length: int


class Record(NamedTuple):
    """One ring buffer record; frames leaf first. A tuple, because there are tens of thousands of them."""

    kind: int
    flags: int
    time_ns: int
    pid: int
    tid: int
    weight: int
    native: tuple[int, ...] = ()
    python: tuple[tuple[int, int], ...] = ()
    """(address of the code object, byte offset into its code)"""
    stack: int = 0
    """Of RECORD_STACK: the id other records refer to."""
    body: OffCpuBody | AuditBody | CallBody | MemoryBody | None = None
    stack_pointer: int = 0
    """Where the walk of native frames began."""


def parse_records(data: bytes) -> Iterator[Record]:
    """Yield the records of one message (tag removed)."""
    at = 0
    while at < len(data):
        time_ns, pid, tid, weight, size, kind, flags = _HEADER.unpack_from(data, at)
        native: tuple[int, ...] = ()
        python: tuple[tuple[int, int], ...] = ()
        stack, body, pointer = 0, None, 0
        if kind in _STACKS:
            native, python, stack, pointer = _stack(data, at)
        else:
            body = _body(kind, data, at + _HEADER.size)
        yield Record(kind, flags, time_ns, pid, tid, weight, native, python, stack, body, pointer)
        at += size


def scan_records(data: bytes) -> Iterator[tuple[int, int, bool, tuple[int, bytes]]]:
    """Yield where each record begins, its bytes, whether it can wait, and its process and Python frames."""
    at, end, unpack = 0, len(data), _SCANNED.unpack_from
    while at < end:
        pid, size, kind = unpack(data, at)
        frames = data[at + _PYTHON_OFFSET : at + size] if kind in _STACKS else b""
        yield at, size, kind in LATER, (pid, frames)
        at += size


def _stack(data: bytes, at: int) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...], int, int]:
    native_count, python_count, stack, pointer = _COUNTS.unpack_from(data, at + _HEADER.size)
    native = struct.unpack_from(f"<{native_count}Q", data, at + _NATIVE_OFFSET)
    frames = data[at + _PYTHON_OFFSET : at + _PYTHON_OFFSET + python_count * _PYTHON_FRAME.size]
    return native, _python(frames), stack, pointer


@functools.lru_cache(4096)
def _python(frames: bytes) -> tuple[tuple[int, int], ...]:
    """Return frames; equal ones are one object, so that what is kept of thousands of samples is small."""
    return tuple((code, offset) for code, offset, _ in _PYTHON_FRAME.iter_unpack(frames))


def _body(kind: int, data: bytes, at: int) -> OffCpuBody | AuditBody | CallBody | MemoryBody | None:
    if kind == RECORD_OFFCPU:
        *numbers, name = _OFFCPU.unpack_from(data, at)
        return OffCpuBody._make([*numbers, name.partition(b"\0")[0].decode(errors="replace")])
    if kind == RECORD_AUDIT:
        *numbers, length = _AUDIT.unpack_from(data, at)
        return AuditBody._make([*numbers, data[at + _AUDIT.size : at + _AUDIT.size + length]])
    if kind == RECORD_CALL:
        return CallBody._make(_CALL.unpack_from(data, at))
    if kind == RECORD_MEMORY:
        return MemoryBody._make(_MEMORY.unpack_from(data, at))
    return None
