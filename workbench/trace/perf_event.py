"""The perf_event_open system call: sampling clocks and counters the kernel keeps.

One function opens an event; :class:`SampleRing` reads the samples of one that carries a buffer (the tier
without BPF).
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import NoPrivilege, TraceError

CPU_CLOCK = 0
"""PERF_COUNT_SW_CPU_CLOCK"""

_SYSCALL = {"x86_64": 298, "aarch64": 241}
_ATTRIBUTE_BYTES = 128
_SOFTWARE = 1
_CLOEXEC = 8
_FREQUENCY = 1 << 10
_INHERIT = 1 << 1
_EXCLUDE_KERNEL = 1 << 5
_EXCLUDE_HYPERVISOR = 1 << 6
_USE_CLOCKID = 1 << 25
_CLOCK_MONOTONIC = 1
_SAMPLE_IP_TID_TIME = 1 | 2 | 4
_SET_OUTPUT = 0x2405
_RECORD_LOST = 2
_RECORD_SAMPLE = 9
_PAGE = mmap.PAGESIZE
_HEAD_OFFSET = 1024
_TAIL_OFFSET = 1032


def online_cpus() -> list[int]:
    """Return the numbers of the CPUs that are on.

    Examples
    --------
    >>> 0 in online_cpus()
    True
    """
    cpus: list[int] = []
    for part in Path("/sys/devices/system/cpu/online").read_text().strip().split(","):
        first, _, last = part.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return cpus


def open_clock(hz: int, *, pid: int = -1, cpu: int = -1, own: bool = False) -> int:
    """Open a CPU clock that fires `hz` times a second and return its file descriptor.

    Parameters
    ----------
    hz
        Samples a second of CPU time.
    pid, cpu
        One thread or all (-1); one CPU or all.
    own
        Sample user mode only, with a record of (instruction, thread, time), children included: what the
        kernel allows without any right.

    Raises
    ------
    NoPrivilege
        If the kernel does not allow it.
    ProcessLookupError
        If the thread has ended.
    """
    flags = _FREQUENCY
    if own:
        flags |= _INHERIT | _EXCLUDE_KERNEL | _EXCLUDE_HYPERVISOR | _USE_CLOCKID
    attribute = bytearray(_ATTRIBUTE_BYTES)
    struct.pack_into("<IIQQQ", attribute, 0, _SOFTWARE, _ATTRIBUTE_BYTES, CPU_CLOCK, hz, _SAMPLE_IP_TID_TIME)
    struct.pack_into("<Q", attribute, 40, flags)
    struct.pack_into("<i", attribute, 92, _CLOCK_MONOTONIC if own else 0)
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise TraceError(
            f"perf events are not supported on {platform.machine()} yet", where="perf_event_open"
        )
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    handle: int = libc.syscall(number, bytes(attribute), pid, cpu, -1, _CLOEXEC)
    if handle < 0:
        said = os.strerror(ctypes.get_errno())
        if ctypes.get_errno() == errno.ESRCH:
            raise ProcessLookupError(errno.ESRCH, said)
        raise NoPrivilege(
            f"perf_event_open was refused: {said}",
            where=f"pid {pid}, cpu {cpu}",
            fix="sysctl kernel.perf_event_paranoid=2 (or lower) allows a process to sample itself",
        )
    return handle


@dataclass(frozen=True)
class ClockSample:
    """One tick: CLOCK_MONOTONIC ns, where, and the instruction's address."""

    time_ns: int
    pid: int
    tid: int
    address: int


class SampleRing:
    """The shared buffer of one CPU's clocks.

    Parameters
    ----------
    handle
        The event that owns the buffer; it is closed with the ring.
    pages
        Data pages, a power of two; 64 stay inside the memory any user may lock.
    """

    def __init__(self, handle: int, pages: int = 64) -> None:
        self._handles = [handle]
        self._size = pages * _PAGE
        self._memory = mmap.mmap(handle, _PAGE + self._size)
        self.lost = 0

    def redirect(self, handle: int) -> None:
        """Let another event of the same CPU write here too."""
        libc = ctypes.CDLL(None, use_errno=True)
        self._handles.append(handle)
        if libc.ioctl(handle, _SET_OUTPUT, self._handles[0]) < 0:
            raise TraceError(
                f"cannot share a perf buffer: {os.strerror(ctypes.get_errno())}", where="perf_event"
            )

    def read(self) -> Iterator[ClockSample]:
        """Yield the samples written since the last call."""
        (head,) = struct.unpack_from("<Q", self._memory, _HEAD_OFFSET)
        (tail,) = struct.unpack_from("<Q", self._memory, _TAIL_OFFSET)
        while tail < head:
            kind, _, size = struct.unpack("<IHH", self._bytes(tail, 8))
            body = self._bytes(tail + 8, size - 8)
            if kind == _RECORD_SAMPLE:
                address, pid, tid, time_ns = struct.unpack_from("<QIIQ", body)
                yield ClockSample(time_ns, pid, tid, address)
            elif kind == _RECORD_LOST:
                self.lost += struct.unpack_from("<QQ", body)[1]
            tail += size
            struct.pack_into("<Q", self._memory, _TAIL_OFFSET, tail)

    def close(self) -> None:
        """Unmap and close the events."""
        self._memory.close()
        for handle in self._handles:
            os.close(handle)

    def _bytes(self, position: int, size: int) -> bytes:
        start = position % self._size
        first = self._memory[_PAGE + start : _PAGE + min(start + size, self._size)]
        return first + self._memory[_PAGE : _PAGE + size - len(first)]
