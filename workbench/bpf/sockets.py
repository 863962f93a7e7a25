"""Local sockets between a privileged process and its clients, whose identity the kernel vouches for."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

from ..errors import TraceError

_DIAL_SECONDS = 5


def peer(sock: socket.socket) -> tuple[int, int, int]:
    """Return pid, uid and gid of the other end, as the kernel recorded them at connect."""
    pid, uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid, gid


def dial(address: str | bytes) -> socket.socket:
    """Return a connection to a socket of messages, by its path or abstract name, or raise OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # A time limit of Python's own would turn a full backlog into an error at once; the kernel's waits.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _DIAL_SECONDS, 0))
    try:
        _connect(sock, address)
    except OSError:
        sock.close()
        raise
    return sock


def _connect(sock: socket.socket, address: str | bytes) -> None:
    if isinstance(address, bytes):
        sock.connect(address)
        return
    path = Path(address)
    handle = os.open(path.parent, os.O_PATH)
    try:  # by descriptor, because a socket's path may have no more than 107 bytes
        sock.connect(f"/proc/self/fd/{handle}/{path.name}")
    finally:
        os.close(handle)


def listen_for_all(path: Path, *, backlog: int = 8) -> socket.socket:
    """Return a socket that every user of the machine may connect to.

    Raises
    ------
    TraceError
        If nothing can listen there.
    """
    # Under its name only once it listens: who finds the file can connect.
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(str(fresh))
        fresh.chmod(0o666)  # who may do what is decided by identity, not by the file
        listener.listen(backlog)
        fresh.replace(path)
    except OSError as error:
        listener.close()
        fresh.unlink(missing_ok=True)
        raise TraceError(
            f"cannot listen: {error.strerror or error}",  # a path that is too long has no number
            where=str(path),
            fix="--socket PATH: of at most 90 bytes, in a folder that it may write",
        ) from error
    return listener
