"""A port nobody else may take: the kernel steers its connections to replicas that listen elsewhere."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Container

from ..base import cannot_listen

_HOSTS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_TRIES = 20


class Reservation:
    """Listening sockets, one an address family, to which no connection ever comes.

    Parameters
    ----------
    port
        0 lets the system choose.
    taken
        Ports that are nobody's socket and yet not free.
    again
        The port was ours already: should a stranger have it, the kernel steers past him all the same.

    Raises
    ------
    PortInUse
        If another process has it.
    """

    def __init__(self, port: int, *, again: bool = False, taken: Container[int] = ()) -> None:
        self._sockets: list[socket.socket] = []
        self.port = port
        for left in reversed(range(_TRIES)):
            try:
                self._take(port)
                if self.port in taken:
                    raise OSError(errno.EADDRINUSE, "another deployment's")
                return
            except OSError as error:
                self.close()
                self.port = port
                if again:
                    return
                if error.errno != errno.EADDRINUSE or port or not left:
                    raise cannot_listen(error, "127.0.0.1", port) from error

    def _take(self, port: int) -> None:
        for family, host in _HOSTS:
            try:
                one = socket.socket(family, socket.SOCK_STREAM)
            except OSError:  # a machine without IPv6
                continue
            self._sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind((host, port))
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    continue
                raise
            one.listen(1)
            port = self.port = one.getsockname()[1]

    def close(self) -> None:
        """Let the port go."""
        while self._sockets:
            with contextlib.suppress(OSError):
                self._sockets.pop().close()
