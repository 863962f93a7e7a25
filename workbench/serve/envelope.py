"""What every answer carries, whoever made it: who answered, and whether to come back (ASGI middleware)."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .drain import Drain
from .metrics import Metrics


class Envelope:
    """Add identity headers, ``Connection: close`` while draining, and count inferences.

    Parameters
    ----------
    app
        What answers.
    headers
        Added to every answer, e.g. ``x-mlops-track``.
    drain
        Asked at the start of every answer, so that a drain that began during the inference still counts.
    metrics
        Sees every request whose path ends in ``/infer``.
    """

    def __init__(self, app: ASGIApp, headers: dict[str, str], drain: Drain, metrics: Metrics) -> None:
        self._app = app
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._drain = drain
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        status = 500

        async def stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *self._headers]
                if self._drain.active:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        if not scope["path"].endswith("/infer"):
            await self._app(scope, receive, stamped)
            return
        start = time.perf_counter()
        self._metrics.in_flight += 1
        try:
            await self._app(scope, receive, stamped)
        finally:
            self._metrics.in_flight -= 1
            self._metrics.observe(status, time.perf_counter() - start)
