"""What BPF programs cost, by the kernel's own account: how often each ran and for how long.

The kernel keeps it only while somebody asks (BPF_ENABLE_STATS), for 20 to 40 ns a run, which are in the figures. It is
as precise on a loaded machine as on an idle one, where a ratio of two runs drowns in noise.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
from collections.abc import Iterator
from typing import NamedTuple

_SYSCALL = {"x86_64": 321, "aarch64": 280}
_NEXT_ID, _BY_ID, _INFO, _STATS = 11, 13, 15, 32
_ATTRIBUTE_BYTES, _INFO_BYTES = 144, 256
_NAME_AT, _RUNS_AT = 64, 192  # in struct bpf_prog_info


class Runs(NamedTuple):
    """A program: its name (15 letters of it), ns it ran and how often."""

    name: str
    ns: int
    times: int


@contextlib.contextmanager
def counting() -> Iterator[None]:
    """Make the kernel count; as root.

    Raises
    ------
    OSError
        If it refuses.
    """
    handle, _ = _bpf(_STATS, struct.pack("<I", 0))
    try:
        yield
    finally:
        os.close(handle)


def runs() -> dict[int, Runs]:
    """Return every loaded program's runs so far, by its number."""
    found: dict[int, Runs] = {}
    number = 0
    while True:
        try:
            number = struct.unpack_from("<I", _bpf(_NEXT_ID, struct.pack("<I", number))[1], 4)[0]
        except OSError:  # the last one
            return found
        with contextlib.suppress(OSError):  # it has gone since
            found[number] = _runs(number)


def _runs(number: int) -> Runs:
    handle, _ = _bpf(_BY_ID, struct.pack("<I", number))
    info = ctypes.create_string_buffer(_INFO_BYTES)
    try:
        _bpf(_INFO, struct.pack("<IIQ", handle, _INFO_BYTES, ctypes.addressof(info)))
    finally:
        os.close(handle)
    name = info.raw[_NAME_AT : _NAME_AT + 16].rstrip(b"\0").decode()
    return Runs(name, *struct.unpack_from("<2Q", info.raw, _RUNS_AT))


def _bpf(command: int, attribute: bytes) -> tuple[int, bytes]:
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attribute.ljust(_ATTRIBUTE_BYTES, b"\0"), _ATTRIBUTE_BYTES)
    result = libc.syscall(_SYSCALL[platform.machine()], command, buffer, _ATTRIBUTE_BYTES)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result), buffer.raw
