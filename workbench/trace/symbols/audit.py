"""What an audit record is about: a path made absolute, or a socket address as people write it."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

from ..records import AUDIT_ACTIONS, AuditBody, Record
from ..syscall_names import syscall_names

_HERE = -100  # AT_FDCWD
_INET, _INET6 = socket.AddressFamily.AF_INET, socket.AddressFamily.AF_INET6
_NETLINK = 16


def audit_target(record: Record) -> str:
    """Return the path or address of an audit record, soon after it was made.

    A relative path is joined to the folder it was relative to, as it is now: the process may have moved on
    within the tenth of a second records are on their way.
    """
    if not isinstance(record.body, AuditBody):
        return ""
    if AUDIT_ACTIONS[record.weight] in ("connect", "send"):
        return socket_address(record.body.target)
    if AUDIT_ACTIONS[record.weight] == "syscall":
        return syscall_names().get(record.body.amount, f"syscall {record.body.amount}")
    return _absolute(os.fsdecode(record.body.target), record.pid, record.body.directory)


def socket_address(data: bytes) -> str:
    r"""Return a ``struct sockaddr`` as text.

    Examples
    --------
    >>> socket_address(b"\2\0\0\x50\x7f\0\0\1")
    '127.0.0.1:80'
    >>> socket_address(b"\1\0/run/x.sock\0")
    'unix:/run/x.sock'
    """
    family = int.from_bytes(data[:2], "little")
    if family == _INET and len(data) >= 8:
        return f"{socket.inet_ntop(socket.AF_INET, data[4:8])}:{_port(data)}"
    if family == _INET6 and len(data) >= 24:
        return f"[{socket.inet_ntop(socket.AF_INET6, data[8:24])}]:{_port(data)}"
    if family == socket.AF_UNIX:
        path = data[2:]
        # An abstract name begins with 0; ss and friends write it with @.
        text = (
            "@" + os.fsdecode(path[1:].rstrip(b"\0"))
            if path[:1] == b"\0"
            else os.fsdecode(path.partition(b"\0")[0])
        )
        return f"unix:{text}" if path.strip(b"\0") else "unix:"
    if family == _NETLINK:
        return "netlink"
    return f"family {family}"


def _port(data: bytes) -> int:
    (port,) = struct.unpack_from(">H", data, 2)
    return int(port)


def _absolute(path: str, pid: int, directory: int) -> str:
    if path.startswith("/"):
        return os.path.normpath(path)
    link = f"/proc/{pid}/cwd" if directory == _HERE else f"/proc/{pid}/fd/{directory}"
    try:
        return os.path.normpath(Path(link).readlink() / path)
    except OSError:  # ended, or closed
        return path
