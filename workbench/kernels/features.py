"""What the processor can do and how large its caches are, as the kernel reports it."""

from __future__ import annotations

import functools
import re
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "": 1}


def features_in(cpuinfo: str) -> frozenset[str]:
    r"""Return the feature names of a ``/proc/cpuinfo`` text: x86 flags, Arm features, RISC-V letters.

    Only what every processor of the machine has counts.

    Examples
    --------
    >>> sorted(features_in("flags : avx2 fma\n\nflags : avx2"))
    ['avx2']
    >>> sorted(features_in("isa : rv64imafdcv_zicsr"))
    ['a', 'c', 'd', 'f', 'i', 'm', 'v', 'zicsr']
    """
    sets = []
    for key, value in re.findall(r"^(flags|Features|isa)\s*:\s*(.*)$", cpuinfo, re.MULTILINE):
        if key == "isa":
            letters, *longer = value.strip().split("_")
            sets.append({*letters.removeprefix("rv64").removeprefix("rv32"), *longer})
        else:
            sets.append(set(value.split()))
    return frozenset(set.intersection(*sets)) if sets else frozenset()


@functools.cache
def cpu_features() -> frozenset[str]:
    """Return the features of this machine's processors; empty when it does not tell."""
    try:
        return features_in(_CPUINFO.read_text())
    except OSError:
        return frozenset()


@functools.cache
def cpu_maker() -> str:
    """Return for whose processors a kernel is, where there are several: ``"intel"``, or ``"amd"`` for all others."""
    try:
        return (
            "intel"
            if re.search(r"^vendor_id\s*:\s*GenuineIntel", _CPUINFO.read_text(), re.MULTILINE)
            else "amd"
        )
    except OSError:
        return "amd"


@functools.cache
def cache_bytes() -> tuple[int, int]:
    """Return the bytes of the second-level cache and of the last one, 0 where unknown."""
    sizes: dict[int, int] = {}
    for folder in _CACHES.glob("index*"):
        try:
            number, unit = re.fullmatch(r"(\d+)([KMG]?)", (folder / "size").read_text().strip()).groups()  # type: ignore[union-attr]
            level = int((folder / "level").read_text())
        except (OSError, ValueError, AttributeError):
            continue
        sizes[level] = max(sizes.get(level, 0), int(number) * _UNITS[unit])
    return sizes.get(2, 0), max((size for level, size in sizes.items() if level > 1), default=0)
