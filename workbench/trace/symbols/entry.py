"""The first instruction of a function decides what a probe there costs.

The kernel emulates a few instructions (push, nop, jumps, calls: 0.6 us a hit); any other it executes out of
line under single step (13 us). ``endbr64``, which compilers put before the real first instruction, is one of
the others, so a probe goes behind it: at function entry both places mean the same.

It goes behind a nop of five bytes as well. Linux 6.18 turns a probe there into a call to a page that a fork does
not get: the traced process's children would end by SIGSEGV at their first call.
"""

from __future__ import annotations

import platform

_SKIPPED = (b"\xf3\x0f\x1e\xfa", b"\x0f\x1f\x44\x00\x00", b"\x66\x0f\x1f\x40\x00")


def probe_shift(code: bytes, machine: str = "") -> tuple[int, bool]:
    r"""Return how many bytes behind the entry to probe, and whether the kernel must single-step there.

    Parameters
    ----------
    code
        The function's first bytes.
    machine
        As ``platform.machine()`` says; by default this one. Only x86-64 is judged.

    Examples
    --------
    >>> probe_shift(b"\xf3\x0f\x1e\xfa\x55", "x86_64"), probe_shift(b"\x48\x89\xf8", "x86_64")
    ((4, False), (0, True))
    """
    if (machine or platform.machine()) != "x86_64":
        return 0, False
    shift = 0
    while found := next((skipped for skipped in _SKIPPED if code.startswith(skipped, shift)), b""):
        shift += len(found)
    return shift, not _emulated(code[shift:])


def _emulated(code: bytes) -> bool:
    first, second = int(code[0]) if code else 0, int(code[1]) if len(code) > 1 else 0
    if first == 0x41:  # a prefix that widens push to the new registers
        return 0x50 <= second <= 0x57
    push_or_nop = 0x50 <= first <= 0x57 or first == 0x90
    jump_or_call = first in (0xE8, 0xE9, 0xEB) or 0x70 <= first <= 0x7F
    long_form = first == 0x0F and (second == 0x1F or 0x80 <= second <= 0x8F)
    return push_or_nop or jump_or_call or long_form or code[:3] == b"\x66\x0f\x1f" or code[:2] == b"\x66\x90"
