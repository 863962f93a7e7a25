"""What every HTTP answer carries, whoever made it: who answered, for which request, and whether to come back."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .service import Service
from .trace_context import TraceContext


class Envelope:
    """Add identity headers, ``Connection: close`` while draining, and account for inferences (ASGI middleware).

    Parameters
    ----------
    app
        What answers.
    service
        Its drain is asked at the start of every answer, so that one that began during the inference counts.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        status = 500
        own: list[tuple[bytes, bytes]] = []

        async def stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                who = [(name.encode(), value.encode()) for name, value in self._service.who().items()]
                message["headers"] = [*message["headers"], *who, *own]
                if self._service.drain.active:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        if not scope["path"].endswith("/infer"):
            await self._app(scope, receive, stamped)
            return
        start, trace = time.perf_counter(), _trace_of(scope)
        own = [
            (b"x-request-id", trace.request_id.encode()),
            (b"traceresponse", trace.traceparent.encode()),
        ]
        self._service.metrics.begin()
        try:
            await self._app(scope, receive, stamped)
        finally:
            self._service.finished(trace, status, start)


def _trace_of(scope: Scope) -> TraceContext:
    parent = request_id = b""
    for name, value in scope["headers"]:  # lower-cased by the server
        if name == b"traceparent":
            parent = value
        elif name == b"x-request-id":
            request_id = value
    return TraceContext.of(parent.decode("latin-1"), request_id.decode("latin-1"))
