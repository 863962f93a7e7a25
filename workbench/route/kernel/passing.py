"""Carry one exchange in user space: of a client that closed its side before the kernel could take its connection."""

from __future__ import annotations

import contextlib
import socket

from ...errors import TraceError
from .ending import refuse
from .pairs import Tables, connect_track, hang_up

_PIECE = 1 << 16
_SILENT_S = 60.0


def pass_on(client: socket.socket, tables: Tables, port: int, slot: int) -> None:
    """Send what a client sent to a replica of a track, and its answer back, until both have ended; close both."""
    with client:
        try:
            replica = connect_track(tables, port, slot)
        except (OSError, TraceError):
            refuse(client)
            return
        try:
            _carry(client, replica)
        finally:
            hang_up(tables, replica)


def _carry(client: socket.socket, replica: socket.socket) -> None:
    with contextlib.suppress(OSError):
        for source, sink in ((client, replica), (replica, client)):
            for sock in (source, sink):
                sock.settimeout(_SILENT_S)
            while data := source.recv(_PIECE):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
