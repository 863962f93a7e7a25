"""Attach a BPF program to many functions of a file at once (uprobe_multi, Linux 6.6 and later).

libbpf 1.1 does not know this kind of link yet; the kernel does. Against one perf event a function it needs no
CAP_SYS_ADMIN and detaches 3,000 functions in a tenth of a second instead of minutes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Sequence

from ..errors import NoPrivilege, TraceError

ATTACH_TYPE = 48
"""BPF_TRACE_UPROBE_MULTI"""

_SYSCALL = {"x86_64": 321, "aarch64": 280}
_LINK_CREATE = 28
_RETURNS = 1
_ATTRIBUTE_BYTES = 64


def attach_functions(
    program: int,
    path: str,
    pid: int,
    offsets: Sequence[int],
    *,
    cookies: Sequence[int] = (),
    counters: Sequence[int] = (),
    returns: bool = False,
) -> int:
    """Return the file descriptor of a new link; closing it detaches.

    Parameters
    ----------
    program
        File descriptor of a program loaded for :data:`ATTACH_TYPE`.
    path
        The file.
    pid
        The only process whose calls run the program; 0: every process's.
    offsets
        Where in the file, bytes.
    cookies
        What ``bpf_get_attach_cookie`` returns at each; empty: 0.
    counters
        File offsets of semaphores to raise; empty: none.
    returns
        Run at the return instead of the entry.

    Raises
    ------
    NoPrivilege
        If the kernel does not allow it.
    TraceError
        If it cannot: an older kernel, no such process, an offset that is no instruction.
    """
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise TraceError(f"functions cannot be probed on {platform.machine()} yet", where=path)
    array = ctypes.c_uint64 * len(offsets)
    name = ctypes.create_string_buffer(path.encode())
    parts = [
        array(*offsets),
        array(*counters) if any(counters) else None,
        array(*cookies) if cookies else None,
    ]
    pointers = [ctypes.addressof(part) if part is not None else 0 for part in parts]
    attribute = struct.pack(
        "<4I4Q3I",
        *(program, 0, ATTACH_TYPE, 0),
        *(ctypes.addressof(name), *pointers),
        *(len(offsets), _RETURNS if returns else 0, pid),
    ).ljust(_ATTRIBUTE_BYTES, b"\0")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    handle = int(libc.syscall(number, _LINK_CREATE, attribute, _ATTRIBUTE_BYTES))
    if handle < 0:
        raise _failure(ctypes.get_errno(), path, len(offsets))
    return handle


def _failure(code: int, path: str, count: int) -> TraceError:
    said = os.strerror(code)
    if code in (errno.EPERM, errno.EACCES):
        return NoPrivilege(
            f"the kernel refused to probe functions: {said}", where=path, fix="run the collector as root"
        )
    return TraceError(f"cannot probe {count:,} functions: {said}", where=path, fix="needs Linux 6.6 or later")
