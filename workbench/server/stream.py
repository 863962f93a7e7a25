"""The WebSocket: replays from the sequence number a page saw last, then tells what happens.

A page that was away (asleep, reloaded, behind a proxy that closed the connection) connects with the number it
has and misses nothing; the messages are those of :mod:`.watch`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado import web
from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from .parts import Parts

if TYPE_CHECKING:
    from .watch import Message


class StreamHandler(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """One page that listens."""

    auth_resource = "mlops"

    def initialize(self, parts: Callable[[], Parts]) -> None:
        """Take the watch."""
        super().initialize()
        self.watch = parts().watch
        self._seq = 0
        self._news = self._catching_up = False

    @ws_authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Open the socket for a page that is logged in and may read."""
        allowed = self.authorizer.is_authorized(self, self.current_user, "read", self.auth_resource)
        if not (await allowed if asyncio.iscoroutine(allowed) else allowed):
            raise web.HTTPError(403)
        text = self.get_query_argument("since", "0")
        if not (text.isascii() and text.isdigit() and len(text) < 17):
            raise web.HTTPError(400)
        self._seq = int(text)
        await super().get(*args, **kwargs)

    def open(self, *args: Any, **kwargs: Any) -> None:
        """Replay, then listen."""
        super().open(*args, **kwargs)
        self.watch.listen(self.tell)
        IOLoop.current().add_callback(self._catch_up)

    def on_message(self, message: str | bytes) -> None:
        """Take nothing: what a page wants done goes over REST, where it is checked like everything else."""

    def on_close(self) -> None:
        """Listen no more."""
        super().on_close()
        self.watch.leave(self.tell)

    def tell(self, message: Message) -> None:
        """Pass a message on; news mean that there are events to fetch."""
        if message["type"] == "news":
            IOLoop.current().add_callback(self._catch_up)
        else:
            self._send(message)

    async def _catch_up(self) -> None:
        """Send what this page has not seen, in batches, until it has seen all."""
        self._news = True
        if self._catching_up:
            return
        self._catching_up = True
        try:
            while self._news and self.ws_connection is not None:
                self._news = False  # before asking: what comes while we ask sets it again
                message = await asyncio.to_thread(self.watch.since, self._seq)
                self._seq = message["seq"]
                if message["type"] == "reset" or message["events"]:
                    self._send(message)
                    self._news = True  # there may be another batch
        finally:
            self._catching_up = False

    def _send(self, message: Message) -> None:
        try:
            self.write_message(json.dumps(message))
        except WebSocketClosedError:
            self.watch.leave(self.tell)
