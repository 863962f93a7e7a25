"""Listening sockets: a replica's, taken from its process, and the connector's.

The kernel hands out a duplicate of another process's descriptor to whoever might trace it (same user, or root):
the replica need not know that a route exists.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from ...errors import NoPrivilege, StagingError

BACKLOG = 1024
"""Clients that may wait to be connected to tracks."""

_SYS_PIDFD_GETFD = 438  # the same number on every architecture


@contextlib.contextmanager
def listener_of(pid: int, port: int) -> Iterator[socket.socket]:
    """Yield the socket on which process `pid` listens at `port`, closed afterwards.

    Raises
    ------
    StagingError
        If the process is gone or listens there no more.
    NoPrivilege
        If it is another user's, or the machine forbids it (``kernel.yama.ptrace_scope``).
    """
    try:
        process = os.pidfd_open(pid)
        links = list(Path(f"/proc/{pid}/fd").iterdir())
    except (ProcessLookupError, FileNotFoundError):
        raise _gone(pid, port) from None
    except PermissionError as error:
        raise _refused(pid) from error
    try:
        for link in links:
            found = _listening(process, pid, link, port)
            if found is not None:
                with found:
                    yield found
                return
    finally:
        os.close(process)
    raise _gone(pid, port)


def client_listener() -> socket.socket:
    """Return a socket for IPv4 and IPv6 that nobody connects to: the kernel gives it the service's clients."""
    try:
        listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        listener.bind(("::ffff:127.0.0.1", 0))
    except OSError:  # a machine without IPv6
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def _listening(process: int, pid: int, link: Path, port: int) -> socket.socket | None:
    with contextlib.suppress(OSError):
        if not os.readlink(link).startswith("socket:"):  # noqa: PTH115 - the text, not a path
            return None
    handle = ctypes.CDLL(None, use_errno=True).syscall(_SYS_PIDFD_GETFD, process, int(link.name), 0)
    if handle < 0:
        if ctypes.get_errno() == 1:
            raise _refused(pid)
        return None
    candidate = socket.socket(fileno=handle)
    with contextlib.suppress(OSError):
        if (
            candidate.family in (socket.AF_INET, socket.AF_INET6)
            and candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            and candidate.getsockname()[1] == port
        ):
            return candidate
    candidate.close()
    return None


def _gone(pid: int, port: int) -> StagingError:
    return StagingError(f"process {pid} does not listen on port {port}", where="listener")


def _refused(pid: int) -> NoPrivilege:
    return NoPrivilege(
        f"the listener of process {pid} cannot be taken",
        where="pidfd_getfd",
        fix="run as its owner with kernel.yama.ptrace_scope=0, or push with --route proxy",
    )
