"""The local transport's bytes: a Unix socket for words of a few bytes, shared memory for everything else.

::

    client ── connect ─────────────────────────> server      (peer's uid is checked)
           <── hello: capacity, memfd ──────────             the memory: capacity for requests, as much for answers
           ── Request(size, header size) ──────>             the message lies in the first half
           <── Answer(status, size, header size, closing) ── in the second half

Messages are those of :mod:`~workbench.serve.protocol`, the same as over HTTP. The memory is made by the server and
sealed, so that no client can shrink it under the server's feet; one request at a time uses it.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
from dataclasses import dataclass
from typing import Self

from ..errors import ServeError

HELLO = struct.Struct("<4sIQ")
MAGIC, VERSION = b"mlop", 1
_REQUEST = struct.Struct("<Qq")
_ANSWER = struct.Struct("<HBxxxxxQq")
_F_ADD_SEALS, _SEALS = 1033, 0x0001 | 0x0002 | 0x0004  # seal, shrink, grow: linux/fcntl.h


@dataclass(frozen=True)
class Request:
    """A message of `size` bytes is there; `header_size` as in the HTTP header, -1 for JSON alone."""

    size: int
    header_size: int

    def pack(self) -> bytes:
        """Return it as sent."""
        return _REQUEST.pack(self.size, self.header_size)

    @classmethod
    def receive(cls, connection: socket.socket) -> Self | None:
        """Wait for one; ``None`` when the other end has gone."""
        data = _exactly(connection, _REQUEST.size)
        return cls(*_REQUEST.unpack(data)) if data else None


@dataclass(frozen=True)
class Answer:
    """An answer of `size` bytes is there, with its HTTP status; `closing` asks to connect anew, elsewhere."""

    status: int
    closing: bool
    size: int
    header_size: int

    def pack(self) -> bytes:
        """Return it as sent."""
        return _ANSWER.pack(self.status, self.closing, self.size, self.header_size)

    @classmethod
    def receive(cls, connection: socket.socket) -> Self | None:
        """Wait for one; ``None`` when the other end has gone."""
        data = _exactly(connection, _ANSWER.size)
        if not data:
            return None
        status, closing, size, header_size = _ANSWER.unpack(data)
        return cls(status, bool(closing), size, header_size)


class Memory:
    """The shared memory of one connection.

    Parameters
    ----------
    handle
        The memfd; owned.
    capacity
        Bytes of a request, and as many of an answer.
    """

    def __init__(self, handle: int, capacity: int) -> None:
        self.handle, self.capacity = handle, capacity
        self._map = mmap.mmap(handle, 2 * capacity)
        whole = memoryview(self._map)
        self.request, self.answer = whole[:capacity], whole[capacity:]
        self._copy = bytearray()

    @classmethod
    def make(cls, capacity: int) -> Self:
        """Make the memory. Pages come when they are first written."""
        import fcntl

        handle = os.memfd_create("mlops-local", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(handle, 2 * capacity)
        fcntl.fcntl(handle, _F_ADD_SEALS, _SEALS)
        return cls(handle, capacity)

    def take(self, size: int) -> memoryview:
        """Return a private copy of the request, good until the next one is taken.

        The buffer is kept: fresh pages for every request would cost more than the copy.
        """
        if len(self._copy) < size:
            self._copy = bytearray(size)
        copy = memoryview(self._copy)[:size]
        copy[:] = self.request[:size]
        return copy

    def close(self) -> None:
        """Let go of the memory, unless an array still lies in it: then it goes with that."""
        self.request.release()
        self.answer.release()
        os.close(self.handle)


def say_hello(connection: socket.socket, memory: Memory) -> None:
    """Hand the memory over."""
    socket.send_fds(connection, [HELLO.pack(MAGIC, VERSION, memory.capacity)], [memory.handle])


def hear_hello(connection: socket.socket) -> Memory:
    """Take the memory over.

    Raises
    ------
    ServeError
        If the other end speaks something else.
    """
    data, handles, _, _ = socket.recv_fds(connection, HELLO.size, 1)
    if len(data) != HELLO.size or len(handles) != 1 or data[:4] != MAGIC or HELLO.unpack(data)[1] != VERSION:
        for handle in handles:
            os.close(handle)
        raise ServeError(
            "the other end does not speak the local transport", fix="the same version at both ends"
        )
    return Memory(handles[0], HELLO.unpack(data)[2])


def _exactly(connection: socket.socket, size: int) -> bytes:
    """Return that many bytes, or none when the connection ended."""
    data = connection.recv(size)
    while data and len(data) < size:
        more = connection.recv(size - len(data))
        data = data + more if more else b""
    return data
