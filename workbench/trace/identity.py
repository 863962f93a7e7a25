"""Who a client is, as the kernel vouches for it, and whom it may trace."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from ..errors import TraceError

_SO_PEERPIDFD = 77


def peer_handle(sock: socket.socket, pid: int) -> int:
    """Return a handle on the client's process; readable when it ends, whoever else holds the socket."""
    with contextlib.suppress(OSError):  # kernels before 6.5
        return sock.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    with contextlib.suppress(OSError):
        return os.pidfd_open(pid)
    raise TraceError(f"process {pid} is gone", where="collector")


def is_descendant(pid: int, ancestor: int) -> bool:
    """Return whether a process is another one or below it.

    Examples
    --------
    >>> is_descendant(os.getpid(), os.getpid()), is_descendant(1, os.getpid())
    (True, False)
    """
    while pid > 1 and pid != ancestor:
        try:
            # The name may hold spaces and parentheses; the parent is the second field after the last one.
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            return False
    return pid == ancestor


def pid_of(pidfd: int) -> int:
    """Return the process a pidfd stands for, as this process numbers it; 0 when it is none or has ended."""
    try:
        lines = Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines()
    except OSError:
        return 0
    numbers = [int(line.split()[1]) for line in lines if line.startswith("Pid:")]
    return max(*numbers, 0) if numbers else 0


def belongs_to(pid: int, uid: int) -> bool:
    """Return whether a process is a user's alone: all its user ids are his. Root may trace everybody.

    Examples
    --------
    >>> belongs_to(os.getpid(), os.getuid())
    True
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    users = next(line.split()[1:] for line in lines if line.startswith("Uid:"))
    return uid == 0 or {*users} == {str(uid)}
