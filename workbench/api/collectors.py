"""The machine's collector, as a verb."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..pipeline.result import Result
from ..render.table import Table

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
    from ..trace import service

    if action not in ACTIONS:
        raise InputError(
            f"a collector cannot {action!r}", where="collector", fix=f"one of: {', '.join(ACTIONS)}"
        )
    path = Path(socket) if socket else service.SERVICE_SOCKET
    if action == "install":
        now = service.install(path, enforce=enforce)
    elif action == "start":
        now = service.start(path, enforce=enforce)
    else:
        now = service.remove(path) if action == "remove" else service.status(path)
    rows = (
        ("socket", now.socket),
        ("process", now.pid or "none answers"),
        ("user", now.user if now.pid else None),
        ("capabilities", ", ".join(now.capabilities) or None),
        ("memory, MiB", round(now.rss_bytes / 2**20, 1) or None),
        ("at boot", "yes (systemd)" if now.unit else "no"),
    )
    title = f"collector: {'running' if now.pid else 'not running'}"
    return Result(title, (Table(("", "value"), rows),), details={"pid": now.pid, "socket": now.socket})
