"""uvicorn with the stop a staging replica needs.

::

    SIGTERM ──> draining: not ready, every answer says "Connection: close", new connections still answered
       LINGER_S later ──> the listener closes, idle connections close, requests in flight finish
       the last answer is out (or `grace_s` is over) ──> return

The listener stays open for a moment because the kernel resets connections that wait in the queue of a
listener that closes: a client that connected just before the route let go would see an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from ..errors import WorkbenchError
from .connections import bounded, raise_file_limit
from .drain import Drain
from .service import Transport

LINGER_S = 0.25
_log = logging.getLogger(__package__)
KEEP_ALIVE_S = 75  # longer than a proxy's or client's own idle limit, so that they close first, not we


class Server(uvicorn.Server):
    """Serve `app` on an open listener until SIGTERM or SIGINT.

    Parameters
    ----------
    app
        What answers.
    drain
        Told when a signal arrives.
    grace_s
        Seconds that requests in flight get to finish.
    on_started
        Called once connections are accepted, with what the other transports say of themselves.
    transports
        More ways in, beside HTTP.
    """

    def __init__(
        self,
        app: ASGIApp,
        drain: Drain,
        *,
        grace_s: int,
        on_started: Callable[[dict[str, Any]], None],
        transports: Sequence[Transport] = (),
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=bounded(raise_file_limit()),
                ws="none",
                loop="asyncio",
                lifespan="off",
                interface="asgi3",
                access_log=False,
                log_config=None,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=grace_s,
            )
        )
        self._drain = drain
        self._on_started = on_started
        self._transports = transports
        self._grace_s = grace_s
        self._failure: WorkbenchError | None = None

    def run_on(self, listener: socket.socket) -> None:
        """Serve until a signal has been obeyed.

        Raises
        ------
        WorkbenchError
            If a transport cannot start.
        """
        asyncio.run(self.serve([listener]))
        if self._failure is not None:
            raise self._failure

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Drain on a signal; unlike uvicorn, do not die of it afterwards: a clean stop exits with 0."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        self._drain.begin()
        _log.info("draining")
        asyncio.get_running_loop().call_later(LINGER_S, setattr, self, "should_exit", True)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections, then say so."""
        await super().startup(sockets)
        said: dict[str, Any] = {}
        try:
            for transport in self._transports:
                said |= await transport.start()
        except WorkbenchError as error:
            self._failure, self.should_exit = error, True
            return
        self._on_started(said)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop every way in at once, so that all share the same grace."""
        stops = [transport.stop(self._grace_s) for transport in self._transports]
        await asyncio.gather(super().shutdown(sockets), *stops)
