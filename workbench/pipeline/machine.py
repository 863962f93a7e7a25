"""The machine a step runs on and the person who asked, as facts that lineage keeps."""

from __future__ import annotations

import functools
import os
import platform
import pwd
import re
import socket
from pathlib import Path
from typing import Any

_CPUINFO = Path("/proc/cpuinfo")
_ACCELERATORS = Path("/proc/driver/nvidia/gpus")
# What changes which kernels run, and so the last bits of a result.
_TELLING = (
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "i8mm",
    "sve",
)


def machine() -> dict[str, Any]:
    """Return host, user, processor, memory, kernel and thread settings of this process.

    Nothing of the environment's variables but the thread settings is kept: they may hold secrets.

    Examples
    --------
    >>> sorted(machine())[:3]
    ['accelerators', 'cores', 'features']
    """
    threads = {
        name: os.environ[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if name in os.environ
    }
    return {**_fixed(), "cores": len(os.sched_getaffinity(0)), "user": _user(), "threads": threads}


@functools.cache
def _fixed() -> dict[str, Any]:
    cpuinfo = _CPUINFO.read_text() if _CPUINFO.exists() else ""
    return {
        "host": socket.gethostname(),
        "processor": _line(cpuinfo, "model name") or platform.machine(),
        "features": [name for name in _TELLING if name in _line(cpuinfo, "flags|Features|isa").split()],
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "accelerators": [
            _line(path.read_text(), "Model") for path in sorted(_ACCELERATORS.glob("*/information"))
        ],
    }


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user often has no entry
        return str(os.getuid())


def _line(text: str, key: str) -> str:
    found = re.search(rf"^(?:{key})\s*:\s*(.*)$", text, re.MULTILINE)
    return found[1] if found else ""
