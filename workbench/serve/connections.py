"""HTTP connections with bounds: how long and how large a request's head may be, how many may be idle.

Without them a client that sends a byte a minute, or nothing, holds a connection for ever, and enough such
clients hold all there are.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_TIMEOUT_S = 10.0
"""From a head's first byte to its last."""
HEAD_BYTES = 64 << 10
_RESERVED_FILES = 128  # the model's files, the loop's own, logs, gRPC


def raise_file_limit() -> int:
    """Allow as many open files as this process may have, and return how many of them may be connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(16, hard - _RESERVED_FILES)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with limits on everything that comes before a request's body.

    The connection that was idle for longest makes room when there are too many.
    """

    most: ClassVar[int] = 1 << 20
    _idle: ClassVar[dict[BoundedProtocol, None]] = {}  # a dict keeps the order in which they became idle

    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count a connection, and let the idlest go if it is one too many."""
        super().connection_made(transport)
        self._become_idle()
        if len(self.connections) > self.most and self._idle:
            next(iter(self._idle)).transport.close()
        self._set_deadline(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._idle.pop(self, None)
        self._set_deadline(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and refuse a head that does not end."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse("431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        """Start the clock of a head."""
        super().on_message_begin()
        self._idle.pop(self, None)
        self._in_head, self._head_bytes = True, 0
        self._set_deadline(HEAD_TIMEOUT_S)

    def on_headers_complete(self) -> None:
        """Stop the clock."""
        self._in_head = False
        self._set_deadline(None)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Be idle until the next request."""
        self._become_idle()
        super().on_response_complete()

    def _become_idle(self) -> None:
        self._idle.pop(self, None)
        self._idle[self] = None

    def _set_deadline(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        if self._in_head:
            self._refuse("408 Request Timeout")
        else:
            self.transport.close()

    def _refuse(self, status: str) -> None:
        if not self.transport.is_closing():
            self.transport.write(
                f"HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".encode()
            )
            self.transport.close()


def bounded(most: int) -> type[Any]:
    """Return the protocol with room for `most` connections."""
    BoundedProtocol.most = most
    return BoundedProtocol
