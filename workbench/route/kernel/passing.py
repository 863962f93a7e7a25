"""Carry one exchange in user space: of a client that closed its side before the kernel could take its connection."""

from __future__ import annotations

import contextlib
import socket

_PIECE = 1 << 16
_SILENT_S = 60.0


def pass_on(client: socket.socket, replica: socket.socket) -> None:
    """Send what a client sent to a replica, and its answer back, until both have ended; close both."""
    with client, replica, contextlib.suppress(OSError):
        for source, sink in ((client, replica), (replica, client)):
            for sock in (source, sink):
                sock.settimeout(_SILENT_S)
            while data := source.recv(_PIECE):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
