"""System calls a replica that serves has no business with, as numbers and as the bit set the kernel reads."""

from __future__ import annotations

import platform
from collections.abc import Iterable

from ...errors import InputError

_NUMBERS = {  # name: (x86_64, aarch64)
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "setns": (308, 268),
    "unshare": (272, 97),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "connect": (42, 203),
    "unlink": (87, -1),
    "unlinkat": (263, 35),
    "setuid": (105, 146),
}
FORBIDDEN = (
    "execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "mount", "pivot_root", "setns",
    "unshare", "init_module", "finit_module", "kexec_load", "bpf",
)  # fmt: skip
"""What no canary may call unless a policy says otherwise."""

WORDS = 8


def number_of(name: str) -> int:
    """Return a system call's number on this machine.

    Raises
    ------
    InputError
        If the name is not among those a policy can forbid.
    """
    if name not in _NUMBERS:
        raise InputError(f"{name!r} is no system call a policy can forbid", fix=", ".join(sorted(_NUMBERS)))
    return _NUMBERS[name][platform.machine() == "aarch64"]


def name_of(number: int) -> str:
    """Return a system call's name, or its number as text."""
    column = platform.machine() == "aarch64"
    return next((name for name, both in _NUMBERS.items() if both[column] == number), str(number))


def bits_of(names: Iterable[str] | None) -> list[int]:
    """Return the bit set of these system calls, :data:`FORBIDDEN` for ``None``.

    Examples
    --------
    >>> sum(word.bit_count() for word in bits_of(["ptrace", "bpf"]))
    2
    """
    words = [0] * WORDS
    for name in FORBIDDEN if names is None else names:
        number = number_of(name)
        if number >= 0:
            words[number // 64] |= 1 << number % 64
    return words
