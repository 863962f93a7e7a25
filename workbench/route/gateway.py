"""The clients' side of the proxy: read whole requests, have them answered, write the answers.

A client that sends slowly, too much or nonsense is answered with the status that says so and its connection
is closed; no replica hears of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from .forward import Forwarder, NoReplica
from .http1 import HOP_BY_HOP, BadMessage, Head, parse_request, read_body, read_head
from .policy import TrackName
from .upstream import Answer, ConnectionDied, Upstream

RETRY_AFTER_S = 1


@dataclass(frozen=True)
class Limits:
    """What one client may do.

    Parameters
    ----------
    head_s
        Seconds until a whole head has come, idle time between requests included.
    body_s
        Seconds until a whole body has come.
    body_bytes
        Largest body.
    clients
        Connections at once; one more is answered with 503 and closed.
    """

    head_s: float = 30.0
    body_s: float = 60.0
    body_bytes: int = 64 * 1024 * 1024
    clients: int = 10_000


class Gateway:
    """Serves clients from a forwarder.

    Parameters
    ----------
    follow
        Called before each request is routed, so that no request follows an old state.
    """

    def __init__(self, forwarder: Forwarder, limits: Limits, follow: Callable[[], None]) -> None:
        self.forwarder = forwarder
        self.limits = limits
        self._follow = follow
        self.closing = False
        self._clients: set[asyncio.StreamWriter] = set()
        self._waiting: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client until it leaves or must go."""
        self._clients.add(writer)
        try:
            if len(self._clients) > self.limits.clients:
                raise BadMessage(503, "too many connections")
            while await self._one(reader, writer) and not self.closing:
                pass
        except BadMessage as error:
            await self._refuse(reader, writer, error)
        except (ConnectionError, ConnectionDied, TimeoutError, asyncio.CancelledError):
            writer.transport.abort()  # half an answer was sent: the client must see that it is not whole
        finally:
            self._clients.discard(writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def close(self, grace_s: float) -> None:
        """Send idle clients away and wait until the others have their answers."""
        self.closing = True
        for writer in self._waiting:
            writer.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                while self._clients:
                    await asyncio.sleep(0.01)
        for writer in self._clients:
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether another may follow."""
        head = await self._head(reader, writer)
        if head is None:
            return False
        body = await self._body(reader, writer, head)
        self._follow()
        try:
            track, upstream, answer = await self.forwarder.answer(head, body)
        except NoReplica:
            raise BadMessage(503, "no replica is alive") from None
        except TimeoutError:
            raise BadMessage(504, "the replica did not answer in time") from None
        keep = head.keep_alive and not self.closing and (answer.rest is None or answer.head.keep_alive)
        writer.write(_answer_head(answer, track, keep, head.method) + answer.body)
        if answer.rest is not None:
            await self._relay(writer, upstream, answer)
        await writer.drain()
        return keep

    async def _head(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Head | None:
        self._waiting.add(writer)
        try:
            async with asyncio.timeout(self.limits.head_s):
                data = await read_head(reader)
        except TimeoutError:
            reader.feed_eof()  # what has come so far tells an idle client from a slow one
            if not await reader.read():
                return None
            raise BadMessage(408, "the head did not come in time") from None
        finally:
            self._waiting.discard(writer)
        return parse_request(data) if data is not None else None

    async def _body(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: Head) -> bytes:
        if head.length == 0:
            return b""
        if (head.length or 0) > self.limits.body_bytes:
            raise BadMessage(413, f"the body is larger than {self.limits.body_bytes} bytes")
        if (head.get(b"expect") or b"").lower() == b"100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            async with asyncio.timeout(self.limits.body_s):
                return await read_body(reader, head, self.limits.body_bytes)
        except TimeoutError:
            raise BadMessage(408, "the body did not come in time") from None

    async def _relay(self, writer: asyncio.StreamWriter, upstream: Upstream, answer: Answer) -> None:
        async with contextlib.aclosing(self.forwarder.relay(upstream, answer)) as pieces:
            async for piece in pieces:
                writer.write(piece)
                await writer.drain()

    async def _refuse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, error: BadMessage
    ) -> None:
        writer.write(_refusal(error))
        with contextlib.suppress(OSError, RuntimeError):
            await writer.drain()
            writer.write_eof()
            # Closing with unread bytes resets the connection and may take the answer with it: read a little.
            async with asyncio.timeout(1.0):
                while await reader.read(65536):
                    pass


def _answer_head(answer: Answer, track: TrackName, keep: bool, method: bytes) -> bytes:
    head = answer.head
    lines = [b"HTTP/1.1 %d %s" % (head.status, _phrase(head.status))]
    named = {word.strip().lower() for n, v in head.headers if n == b"connection" for word in v.split(b",")}
    hidden = HOP_BY_HOP | named | {b"x-mlops-track"}
    lines += [b"%s: %s" % (n, v) for n, v in head.headers if n not in hidden]
    lines.append(b"x-mlops-track: " + track.encode())  # a promoted replica still believes it is a canary
    if head.chunked:
        lines.append(b"transfer-encoding: chunked")
    elif method == b"HEAD" or head.status == 304:
        lines += [b"content-length: " + v for n, v in head.headers if n == b"content-length"]
    elif head.length is not None and head.status != 204:
        lines.append(b"content-length: %d" % head.length)
    lines.append(b"connection: keep-alive" if keep else b"connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _refusal(error: BadMessage) -> bytes:
    body = json.dumps({"error": error.reason}).encode()
    retry = b"retry-after: %d\r\n" % RETRY_AFTER_S if error.status == 503 else b""
    head = b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    head %= (error.status, _phrase(error.status), len(body))
    return head + retry + b"connection: close\r\n\r\n" + body


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""
