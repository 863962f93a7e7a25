"""What tracing and routing need of the kernel: type information, capabilities, libraries, cgroups."""

from __future__ import annotations

import ctypes.util
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from .finding import Finding

BTF = Path("/sys/kernel/btf/vmlinux")
PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")
MOUNTS = Path("/proc/self/mounts")
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}
_SERVICE = "run as root, or as a service with AmbientCapabilities=CAP_BPF CAP_PERFMON"


def findings() -> Iterator[Finding]:
    """Look at the kernel."""
    yield Finding("tracing", "kernel", platform.release(), "info")
    parts = [_btf(), _capabilities(), _library("bpf", "libbpf1"), _library("elf", "libelf1"), _objects()]
    yield _tracing_tier(parts)
    yield from parts
    yield _perf()
    yield from _routing()


def _tracing_tier(parts: list[Finding]) -> Finding:
    failing = [part.what for part in parts if part.state != "ok"]
    if not failing:
        return Finding("tracing", "tracing tier", "bpf: every event, in the kernel", "ok")
    tier = "perf: samples of this process" if _perf_allowed() else "sampler: python stacks only"
    return Finding("tracing", "tracing tier", tier, "missing", f"for bpf, mend: {', '.join(failing)}")


def _btf() -> Finding:
    there = BTF.exists()
    fix = "" if there else "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (Debian 12 and Ubuntu 22.04 are)"
    return Finding("tracing", "BTF", str(BTF) if there else "absent", "ok" if there else "missing", fix)


def held() -> set[str]:
    """Return which of :data:`CAPABILITIES` this process may use."""
    from ..bpf.capabilities import effective

    mask = effective()
    return {name for name, bit in CAPABILITIES.items() if mask >> bit & 1}


def _capabilities() -> Finding:
    mine = held()
    able = {"CAP_BPF", "CAP_PERFMON"} <= mine
    value = " ".join(sorted(mine)) or f"none (uid {os.geteuid()})"
    return Finding("tracing", "capabilities", value, "ok" if able else "missing", "" if able else _SERVICE)


def _library(name: str, package: str) -> Finding:
    found = ctypes.util.find_library(name)
    fix = "" if found else f"apt-get install {package}"
    return Finding("tracing", f"lib{name}", found or "not installed", "ok" if found else "missing", fix)


def _objects() -> Finding:
    from ..trace.build import OBJECTS, SOURCES

    wanted = {path.name.removesuffix(".bpf.c") for path in SOURCES.glob("*.bpf.c")}
    built = {path.name.split(".")[0] for path in OBJECTS.glob("*.o")}
    missing = sorted(wanted - built)
    fix = "python -m workbench.bpf.build" if missing else ""
    value = f"{len(built)} built" + (f", without {', '.join(missing)}" if missing else "")
    return Finding("tracing", "BPF programs", value, "missing" if missing else "ok", fix)


def _perf_allowed() -> bool:
    level = int(PARANOID.read_text()) if PARANOID.exists() else 4
    return level <= 2 or "CAP_PERFMON" in held()


def _perf() -> Finding:
    level = PARANOID.read_text().strip() if PARANOID.exists() else "absent"
    allowed = _perf_allowed()
    fix = "" if allowed else "sysctl kernel.perf_event_paranoid=2"
    return Finding("tracing", "perf_event_paranoid", level, "ok" if allowed else "missing", fix)


def _routing() -> Iterator[Finding]:
    from ..route.kernel.machine import unavailable

    reason = unavailable()
    what = (
        f"user-space proxy: {reason}" if reason else "kernel (sk_lookup): it splits connections, rolls back"
    )
    fix = "mend what tracing needs, and give CAP_NET_ADMIN too" if reason else ""
    yield Finding("routing", "routing tier", what, "missing" if reason else "ok", fix)
    yield _cgroups()


def _cgroups() -> Finding:
    from ..serve.control_group import Mounts

    mounts = Mounts.read(MOUNTS)
    versions = ["version 2"] * (mounts.unified is not None) + ["version 1"] * bool(mounts.controllers)
    value = " and ".join(versions) or "not mounted"
    fix = "" if versions else "mount -t cgroup2 none /sys/fs/cgroup, for memory limits of replicas"
    return Finding("routing", "cgroups", value, "ok" if versions else "missing", fix)
