"""Processor, memory, compilers, and where the store lies."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..config import HOME_VARIABLE, home
from .finding import Finding

CPUINFO = Path("/proc/cpuinfo")
_LOW_BYTES = 2 * 1024**3
# What int8 and bfloat16 arithmetic gets faster by, as the kernel spells it.
FEATURES = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimddp",
    "i8mm",
    "sve",
)
PROGRAMS = {
    "clang": "apt-get install clang libbpf-dev   # compiles the BPF programs and C kernels",
    "gcc": "apt-get install gcc   # or use clang",
    "runc": "apt-get install runc   # the sandbox of --isolate",
    "buildah": "apt-get install buildah   # --isolate --sandbox buildah",
}


def findings() -> Iterator[Finding]:
    """Look at the machine."""
    text = CPUINFO.read_text() if CPUINFO.exists() else ""
    yield Finding("machine", "processor", f"{_model(text)}, {len(os.sched_getaffinity(0))} usable", "info")
    yield Finding("machine", "CPU features", " ".join(features(text)) or "none of those we look for", "info")
    yield _memory()
    yield _threads()
    yield from _store()
    for name, fix in PROGRAMS.items():
        found = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin")
        yield Finding(
            "machine", name, found or "not installed", "ok" if found else "missing", "" if found else fix
        )


def features(cpuinfo: str) -> list[str]:
    """Return which of :data:`FEATURES` a processor has.

    Examples
    --------
    >>> features("flags : fpu avx2 avx512_vnni")
    ['avx2', 'avx512_vnni']
    """
    line = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    held = set(line[1].split()) if line else set()
    return [name for name in FEATURES if name in held]


def _model(cpuinfo: str) -> str:
    found = re.search(r"^model name\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    return found[1] if found else os.uname().machine


def _memory() -> Finding:
    import psutil

    free = psutil.virtual_memory().available
    low = free < _LOW_BYTES
    value = f"{free / 1e9:.1f} GB free of {psutil.virtual_memory().total / 1e9:.1f}"
    return Finding("machine", "memory", value, "bad" if low else "ok", "close other kernels" if low else "")


def _threads() -> Finding:
    value = os.environ.get("OMP_NUM_THREADS", "")
    if value:
        return Finding("machine", "OMP_NUM_THREADS", value, "ok")
    fix = "export OMP_NUM_THREADS=1 where other work shares the cores"
    return Finding("machine", "OMP_NUM_THREADS", "not set", "missing", fix)


def _store() -> Iterator[Finding]:
    place = home()
    chosen = bool(os.environ.get(HOME_VARIABLE))
    fix = "" if chosen else f"set {HOME_VARIABLE} to share one store between notebooks, shell and panel"
    yield Finding("machine", "store", str(place), "ok" if chosen else "info", fix)
    folder = next(path for path in (place, *place.absolute().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    low = free < _LOW_BYTES
    fix = "%mlops gc removes what nothing refers to" if low else ""
    yield Finding("machine", "free space", f"{free / 1e9:.1f} GB", "bad" if low else "ok", fix)
