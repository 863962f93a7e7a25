"""The privileged processes of a machine that serve all its users, as verbs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..pipeline.result import Result
from ..render.table import Table

if TYPE_CHECKING:
    from ..bpf.service import Service

ACTIONS = ("install", "start", "status", "remove")


def collector(action: str = "status", *, socket: str = "", enforce: bool = False) -> Result:
    """Install, start, show or remove the process that traces for every user of this machine.

    Parameters
    ----------
    action
        ``install`` (a systemd unit where systemd runs, else as ``start``), ``start``, ``status``, ``remove``.
    socket
        Where it listens; by default ``/run/workbench/collector.sock``, where every session looks.
    enforce
        It may also refuse connects (CAP_NET_ADMIN).

    Raises
    ------
    NoPrivilege
        If we may not.
    """
    from ..trace import client, service

    return _act(service.collector(enforce=enforce), action, Path(socket) if socket else client.SERVICE_SOCKET)


def router(action: str = "status", *, socket: str = "") -> Result:
    """Install, start, show or remove the process that changes routes in the kernel for every user of this machine.

    With it, users without rights push to routes in the kernel; each can change his own deployments only.

    Parameters
    ----------
    action
        ``install`` (a systemd unit where systemd runs, else as ``start``), ``start``, ``status``, ``remove``.
        Removing it leaves the routes as they are: the kernel goes on splitting and rolling back.
    socket
        Where it listens; by default ``/run/workbench/router.sock``, where every push looks.

    Raises
    ------
    NoPrivilege
        If we may not.
    """
    from ..route.kernel import service

    return _act(service.ROUTER, action, Path(socket) if socket else service.socket_path())


def _act(service: Service, action: str, path: Path) -> Result:
    if action not in ACTIONS:
        raise InputError(
            f"a {service.name} cannot {action!r}", where=service.name, fix=f"one of: {', '.join(ACTIONS)}"
        )
    now = getattr(service, action)(path)
    rows = (
        ("socket", now.socket),
        ("process", now.pid or "none answers"),
        ("user", now.user if now.pid else None),
        ("capabilities", ", ".join(now.capabilities) or None),
        ("memory, MiB", round(now.rss_bytes / 2**20, 1) or None),
        ("at boot", "yes (systemd)" if now.unit else "no"),
    )
    title = f"{service.name}: {'running' if now.pid else 'not running'}"
    return Result(title, (Table(("", "value"), rows),), details={"pid": now.pid, "socket": now.socket})
