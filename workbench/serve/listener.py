"""The socket a replica serves on, opened before anything slow so that a taken port is known at once."""

from __future__ import annotations

import errno
import socket

from ..errors import PortInUse, ServeError

BACKLOG = (
    1024  # connections the kernel holds while the loop is busy; more are refused by their client's timeout
)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket; port 0 lets the system choose.

    Raises
    ------
    PortInUse
        If another process serves on the address.
    ServeError
        If the address cannot be bound for another reason.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With the protocol left out, asyncio does not recognise TCP and leaves Nagle on: 40 ms an answer.
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServeError(f"cannot serve on {host!r}: {error}", where="--host") from error
    try:
        # A restart on the same port must not wait for the old connections' TIME_WAIT.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"port {port} is taken",
                where=f"{host}:{port}",
                fix="use --port 0 to take a free one",
                port=port,
            ) from error
        raise ServeError(f"cannot serve: {error}", where=f"{host}:{port}") from error
    return listener


def adopt(handle: int) -> socket.socket:
    """Return an inherited listening socket.

    Raises
    ------
    ServeError
        If the descriptor is none.
    """
    try:
        listener = socket.socket(fileno=handle)
        if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError(errno.EINVAL, "it does not listen")
    except OSError as error:
        raise ServeError(f"descriptor {handle} is no listener: {error}", where="--listen-fd") from error
    listener.set_inheritable(False)
    return listener
