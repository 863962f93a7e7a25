"""One replica seen from the proxy: its idle connections, what it is answering, and one exchange with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

from .http1 import HOP_BY_HOP, BadMessage, Head, parse_response, read_head
from .state import Endpoint

BUFFERED_BYTES = 1024 * 1024
"""Answers up to this size are read whole before the client sees a byte, so they can be asked for again."""

_REST_S = 0.2  # how long a replica that failed is asked last: about a restart's first back-off
_PIECE_BYTES = 64 * 1024
_CONNECT_S = 5.0


class ConnectionDied(Exception):
    """Raised when a replica's connection ended before its answer was known; the request can be repeated."""


@dataclass
class Connection:
    """A connection to a replica; `used` ones may have been closed by the other side meanwhile."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used: bool = False


@dataclass
class Answer:
    """A replica's answer: its head, and its body as known so far.

    `rest` is the connection to read on from, for a body too large or too slow to wait for.
    """

    head: Head
    body: bytes
    rest: Connection | None = None


@dataclass
class Upstream:
    """The proxy's side of one replica."""

    endpoint: Endpoint
    idle: list[Connection] = field(default_factory=list)
    in_flight: int = 0
    rests_until: float = 0.0

    @property
    def rests(self) -> bool:
        """Whether it failed a moment ago and is asked only when nobody else can answer."""
        return time.monotonic() < self.rests_until

    async def exchange(self, head: Head, message: bytes, timeout_s: float) -> Answer:
        """Send a whole request and return the answer, on an idle connection if there is a good one.

        Raises
        ------
        ConnectionDied
            If the replica cannot be reached or its connection ended too early.
        TimeoutError
            If it did not answer in `timeout_s`.
        """
        while True:
            connection = await self._connect()
            try:
                async with asyncio.timeout(timeout_s):
                    return await self._ask(connection, head, message)
            except (OSError, asyncio.IncompleteReadError, EOFError, BadMessage) as error:
                connection.writer.transport.abort()
                if isinstance(error, TimeoutError):
                    raise
                if not connection.used:
                    self.rests_until = time.monotonic() + _REST_S
                    raise ConnectionDied(str(error)) from error
                # An idle connection may be closed by the replica at any moment: that says nothing about it.
            except BaseException:
                connection.writer.transport.abort()
                raise

    async def _connect(self) -> Connection:
        while self.idle:
            connection = self.idle.pop()
            if not connection.reader.at_eof() and not connection.writer.is_closing():
                return connection
            connection.writer.close()
        try:
            async with asyncio.timeout(_CONNECT_S):
                reader, writer = await asyncio.open_connection(self.endpoint.host, self.endpoint.port)
        except OSError as error:  # a TimeoutError is one
            self.rests_until = time.monotonic() + _REST_S
            raise ConnectionDied(str(error)) from error
        return Connection(reader, writer)

    async def _ask(self, connection: Connection, request: Head, message: bytes) -> Answer:
        connection.writer.write(message)
        await connection.writer.drain()
        while True:
            data = await read_head(connection.reader)
            if data is None:
                raise EOFError("closed before an answer")
            head = parse_response(data, request.method)
            if head.status >= 200:  # 1xx only announces the answer
                break
        if head.length is None or head.length > BUFFERED_BYTES:
            return Answer(head, b"", connection)
        body = await connection.reader.readexactly(head.length)
        self.release(connection, head)
        return Answer(head, body)

    def release(self, connection: Connection, head: Head) -> None:
        """Keep a connection whose answer was read to its end, if the replica keeps it too."""
        if head.keep_alive:
            connection.used = True
            self.idle.append(connection)
        else:
            connection.writer.close()

    def close(self) -> None:
        """Close the idle connections."""
        while self.idle:
            self.idle.pop().writer.close()


async def rest_of(answer: Answer, connection: Connection, timeout_s: float) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of a body as they come, chunk marks included.

    Raises
    ------
    ConnectionDied
        If it ends early.
    TimeoutError
        If nothing comes for `timeout_s`.
    """
    source = (
        _chunks(connection.reader) if answer.head.chunked else _pieces(connection.reader, answer.head.length)
    )
    try:
        while True:
            async with asyncio.timeout(timeout_s):
                piece = await anext(source, b"")
            if not piece:
                return
            yield piece
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, ConnectionError) as error:
        raise ConnectionDied(str(error)) from error


async def _pieces(reader: asyncio.StreamReader, length: int | None) -> AsyncIterator[bytes]:
    left = length
    while left is None or left > 0:
        piece = await reader.read(_PIECE_BYTES if left is None else min(_PIECE_BYTES, left))
        if not piece:
            if left is not None:
                raise ConnectionResetError("the answer ends early")
            return
        if left is not None:
            left -= len(piece)
        yield piece


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        if size == 0:
            break
        yield line + await reader.readexactly(size + 2)
    yield line
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        yield line
    yield line


def request_bytes(head: Head, body: bytes) -> bytes:
    """Return the request as a replica gets it: its own framing, nothing that spoke about the client's hop."""
    named = {word.strip().lower() for n, v in head.headers if n == b"connection" for word in v.split(b",")}
    lines = [b"%s %s HTTP/1.1" % (head.method, head.target)]
    lines += [b"%s: %s" % (n, v) for n, v in head.headers if n not in HOP_BY_HOP and n not in named]
    if body or head.get(b"content-length") is not None or head.chunked:
        lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
