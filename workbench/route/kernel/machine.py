"""Whether this machine, and this user, can route in the kernel."""

from __future__ import annotations

from pathlib import Path

from ...bpf import capabilities
from ...errors import WorkbenchError
from .pinned import OBJECTS
from .service import RIGHTS, router_pid, socket_path

_HOST_PID_NAMESPACE = 0xEFFFFFFC


def unavailable() -> str:
    """Return why this machine cannot route in the kernel; empty when it can."""
    able = capabilities.held(RIGHTS)
    if not able and not router_pid(socket_path()):
        return "it needs root, or a router for all users: sudo mlops router start"
    if Path("/proc/self/ns/pid").stat().st_ino != _HOST_PID_NAMESPACE:
        return "processes are numbered by a container, so the kernel's tracepoints would name strangers"
    if not able:  # the router has looked for itself
        return ""
    if not Path("/sys/kernel/btf/vmlinux").exists():
        return "this kernel carries no type information (BTF)"
    if not all((OBJECTS / f"{name}.bpf.o").exists() for name in ("split", "sentinel", "requests", "cuda")):
        return "its programs are not built: python -m workbench.bpf.build"
    try:
        from ...bpf.libbpf import Library

        Library()
    except WorkbenchError as error:
        return error.what
    return ""
