"""Give up every right but the few a process that loads BPF programs needs.

Such a process starts as root (or with ambient capabilities under a service manager) and, before it hears any
client, becomes: another user, exactly the named capabilities, empty bounding and ambient sets, no_new_privs,
not dumpable. Order matters: groups and bounding set need rights that the last step takes away.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from ..errors import NoPrivilege

CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF = 12, 38, 39
NOBODY = 65534

NAMES = {
    CAP_PERFMON: "CAP_PERFMON",
    CAP_BPF: "CAP_BPF",
    CAP_NET_ADMIN: "CAP_NET_ADMIN",
    21: "CAP_SYS_ADMIN",
    1: "CAP_DAC_OVERRIDE",
}
"""Those worth naming: what we keep, and what a process that has given up its rights must not have."""
_CAPSET_VERSION = 0x20080522
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAP_SETPCAP = 8


def effective() -> int:
    """Return this process's effective capabilities as a bit mask (0 where there is no /proc)."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))


def held(wanted: Iterable[int]) -> bool:
    """Return whether this process holds all of these capabilities."""
    mask = _mask(wanted)
    return effective() & mask == mask


def drop(kept: Iterable[int], *, user: int = NOBODY) -> None:
    """Keep these capabilities only, for good, and become `user` if we are root.

    Raises
    ------
    NoPrivilege
        If they are not there to keep, or the kernel refuses a step.
    """
    mask, now = _mask(kept), effective()
    if now & mask != mask:
        names = [NAMES[number] for number in kept]
        raise NoPrivilege(
            f"this process has not {' and '.join(names)}",
            where=f"uid {os.geteuid()}, capabilities {now:#x}",
            fix=f"start it as root, or with AmbientCapabilities={' '.join(names)}",
        )
    if now >> _CAP_SETPCAP & 1:
        _empty_bounding_set()
    if os.geteuid() == 0:
        _prctl(_PR_SET_KEEPCAPS, 1)
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _capset(mask)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)


def _mask(capabilities: Iterable[int]) -> int:
    return sum(1 << number for number in set(capabilities))


def _empty_bounding_set() -> None:
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for capability in range(last + 1):
        _prctl(_PR_CAPBSET_DROP, capability)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    if libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero) != 0:
        raise NoPrivilege(
            f"prctl {option} was refused: {os.strerror(ctypes.get_errno())}", where="capabilities"
        )


def _capset(mask: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("<Ii", _CAPSET_VERSION, 0)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    data = struct.pack("<6I", low, low, 0, high, high, 0)
    if libc.capset(header, data) != 0:
        raise NoPrivilege(f"capset was refused: {os.strerror(ctypes.get_errno())}", where="capabilities")
