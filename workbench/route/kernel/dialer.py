"""Connections to a track, each from an address of its own.

A closed connection holds its port for a minute, and so do those of clients on this machine: with a port for each,
a few hundred clients a second use up all there are, and the next one could not be connected. All of 127.0.0.0/8 is
this machine, so we keep one port, the listener's, and change the address instead: there are four million.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import random
import socket
import struct

from .pairs import Tables
from .pinned import key_bytes

CONNECT_S = 0.5

_FIRST, _COUNT = 127 << 24 | 64 << 16, 1 << 22
"""127.64.0.0/10: far from what people give names to."""
_TRIES = 16
"""A stranger may hold our port at one of these addresses."""


class Dialer:
    """Connects to the tracks of a service.

    Parameters
    ----------
    tables
        Where the kernel finds for which track a connection is.
    service
        The service's port.
    own
        A port nobody else connects from: that on which the connector listens.
    """

    def __init__(self, tables: Tables, service: int, own: int) -> None:
        self._tables, self._service, self._own = tables, service, own
        self._turns = itertools.count(random.randrange(_COUNT))  # noqa: S311 - no secret

    def connect(self, slot: int) -> socket.socket:
        """Return a connection to a replica of one track, through the service's own address, and so judged there.

        Raises
        ------
        OSError
            If no replica of it lives.
        TraceError
            If the kernel takes no mark.
        """
        sock = self._bound()
        try:
            self._tables.marks.set(_mark(sock), key_bytes(slot))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(CONNECT_S)
            sock.connect(("127.0.0.1", self._service))
            sock.setblocking(False)
        except BaseException:
            self.hang_up(sock)
            raise
        return sock

    def hang_up(self, sock: socket.socket) -> None:
        """Close a connection that has not entered."""
        self.unmark(sock)
        sock.close()

    def unmark(self, sock: socket.socket) -> None:
        """Forget for which track a connection was: its address comes again."""
        with contextlib.suppress(OSError):
            self._tables.marks.remove(_mark(sock))

    def _bound(self) -> socket.socket:
        for turn in itertools.islice(self._turns, _TRIES):
            sock = socket.socket()
            try:
                sock.bind((source_address(turn), self._own))
            except OSError:
                sock.close()
            else:
                return sock
        raise OSError(errno.EADDRINUSE, f"port {self._own} is taken at {_TRIES} addresses of 127.64.0.0/10")


def source_address(turn: int) -> str:
    """Return the address of a connection by its number; they come again after four million.

    Examples
    --------
    >>> source_address(0), source_address(257), source_address((1 << 22) - 1), source_address(1 << 22)
    ('127.64.0.0', '127.64.1.1', '127.127.255.255', '127.64.0.0')
    """
    return socket.inet_ntoa(struct.pack(">I", _FIRST + turn % _COUNT))


def _mark(sock: socket.socket) -> bytes:
    """Return a connection's key in the map of marks: its address and port in the network's order."""
    host, port = sock.getsockname()
    address = struct.unpack("=I", socket.inet_aton(host))[0]
    return int(address << 16 | socket.htons(port)).to_bytes(8, "little")
