"""The protocol over gRPC, in the replica's own event loop (grpcio: ``pip install 'mlops-workbench[grpc]'``).

HTTP/2 keeps one connection for many requests, so nobody can drain a replica request by request. Each connection gets
GOAWAY when it is :data:`AGE_S` old, calls in flight finish and the client connects anew, wherever the route sends it.
When the route says *draining*, the server waits until every connection has been sent away like that before it closes:
grpcio cancels a call that comes between its own stop and the moment at which the client has heard of it. When the
route takes the replica back, it listens again on the same port.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ...errors import PortInUse, ServeError, WorkbenchError, missing_dependency
from ..service import Service, status_of
from ..trace_context import TraceContext
from .grpc_exchange import GrpcExchange, request_of
from .grpc_messages import MESSAGES, METHODS, SERVICE, parse

try:
    import grpc
    import grpc.aio
except ImportError as error:
    raise missing_dependency("grpcio", "grpc") from error

AGE_S = 2.0
"""How long a client keeps a connection; a new one costs it about a millisecond."""

_LOOK_S = 0.05
_LONGEST_AGE_S = AGE_S * 1.2  # grpcio spreads the age by a tenth
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
_MESSAGE_OVERHEAD = 1 << 16  # names and shapes beside the tensors
_log = logging.getLogger(__package__)

Method = Callable[[bytes, Any], Awaitable[bytes]]


class GrpcTransport:
    """Serve one replica over gRPC.

    Parameters
    ----------
    service
        What answers.
    host, port
        Where; port 0 lets the system choose.
    grace_s
        Seconds that calls in flight get when the route drains this replica.
    """

    def __init__(self, service: Service, host: str, port: int, grace_s: float) -> None:
        self._service = service
        self._host, self._port, self._grace_s = host, port, grace_s
        self._server: Any = None
        self._follower: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None  # a server that waits for its last calls
        self._handlers = _Handlers(service)
        self._drained_at = 0.0  # when every connection there was has been sent away; 0: nobody drains

    async def start(self) -> dict[str, Any]:
        """Accept calls; return the port.

        Raises
        ------
        PortInUse
            If the port is taken.
        """
        await self._listen()
        self._follower = asyncio.create_task(self._follow_drain())
        return {"grpc_port": self._port}

    async def stop(self, grace_s: float) -> None:
        """Send the clients away, let calls in flight finish within `grace_s`, and close."""
        if self._follower is not None:
            self._follower.cancel()
        if self._leaving is not None:
            await self._leaving
        if self._server is not None:
            await self._until_left(grace_s)
            await self._server.stop(grace_s)

    async def _until_left(self, most_s: float) -> None:
        """Wait until nobody who called lately can still have a connection from before the drain."""
        now = time.monotonic()
        self._drained_at = self._drained_at or now + _LONGEST_AGE_S
        until = min(self._drained_at, self._handlers.called + _LONGEST_AGE_S, now + most_s)
        await asyncio.sleep(max(until - now, 0.0))

    async def _listen(self) -> None:
        largest = self._service.max_body_bytes + _MESSAGE_OVERHEAD
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", largest),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
                ("grpc.max_connection_age_ms", int(AGE_S * 1000)),
            ]
        )
        server.add_generic_rpc_handlers((self._handlers.table(),))
        host = f"[{self._host}]" if ":" in self._host else self._host
        try:
            self._port = server.add_insecure_port(f"{host}:{self._port}")
        except RuntimeError as error:
            raise PortInUse(
                f"cannot serve gRPC on port {self._port}",
                where=f"{host}:{self._port}",
                fix="use --grpc-port 0 to take a free one",
            ) from error
        await server.start()
        self._server = server

    async def _follow_drain(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                if not self._service.drain.active:
                    self._drained_at = 0.0
                if self._service.drain.active and self._server is not None:
                    await self._until_left(_LONGEST_AGE_S)
                    leaving, self._server = self._server, None
                    self._leaving = asyncio.create_task(leaving.stop(self._grace_s))
                    await asyncio.shield(self._leaving)
                elif self._server is None and not self._service.drain.active:
                    await self._listen()
            except ServeError as error:  # the port went to somebody else; it may come back
                _log.warning(error.what)


class _Handlers:
    """What each method answers."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.called = -_LONGEST_AGE_S  # when the last call came

    def table(self) -> Any:
        """Return the handlers as grpcio wants them; bytes in and out, parsed where it cannot block the loop."""
        plain = {
            "ServerLive": lambda asked: {"live": True},
            "ServerReady": lambda asked: {"ready": self._service.ready},
            "ModelReady": self._model_ready,
            "ServerMetadata": lambda asked: self._service.metadata(),
            "ModelMetadata": self._model_metadata,
            "SystemSharedMemoryStatus": self._regions,
            "SystemSharedMemoryRegister": self._register,
            "SystemSharedMemoryUnregister": self._unregister,
        }
        methods = {name: self._plain(name, answer) for name, answer in plain.items()}
        methods["ModelInfer"] = self._infer
        handlers = {name: grpc.unary_unary_rpc_method_handler(call) for name, call in methods.items()}
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    def _plain(self, name: str, answer: Callable[[Any], dict[str, Any]]) -> Method:
        taken, given = METHODS[name]

        async def call(data: bytes, context: Any) -> bytes:
            self.called = time.monotonic()
            try:
                reply = MESSAGES[given](**answer(parse(taken, data)))
            except WorkbenchError as error:
                await _refuse(context, error)
            return bytes(reply.SerializeToString())

        return call

    async def _infer(self, data: bytes, context: Any) -> bytes:
        self.called = time.monotonic()
        asked = dict(context.invocation_metadata())
        trace = TraceContext.of(_text(asked, "traceparent"), _text(asked, "x-request-id"))
        identity = {
            **self._service.who(),
            "x-request-id": trace.request_id,
            "traceresponse": trace.traceparent,
        }
        await context.send_initial_metadata(tuple(identity.items()))
        start, status = time.perf_counter(), 500
        self._service.metrics.begin()
        try:
            message = request_of(data)
            self._service.check_model(message.model_name, message.model_version, "ModelInfer")
            answer: bytes = await self._service.infer(GrpcExchange(message, self._service.regions))
            status = 200
            return answer
        except Exception as error:
            status = status_of(error)
            await _refuse(context, error)
            raise
        finally:
            self._service.finished(trace, status, start, "grpc")

    def _model_ready(self, asked: Any) -> dict[str, Any]:
        self._service.check_model(asked.name, asked.version, "ModelReady")
        return {"ready": self._service.ready}

    def _model_metadata(self, asked: Any) -> dict[str, Any]:
        self._service.check_model(asked.name, asked.version, "ModelMetadata")
        return self._service.model.metadata()

    def _regions(self, asked: Any) -> dict[str, Any]:
        found = self._service.need_regions().status(asked.name)
        return {
            "regions": {
                name: MESSAGES["Region"](name=name, key=one.key, offset=one.offset, byte_size=one.size)
                for name, one in found.items()
            }
        }

    def _register(self, asked: Any) -> dict[str, Any]:
        self._service.need_regions().register(asked.name, asked.key, asked.offset, asked.byte_size)
        return {}

    def _unregister(self, asked: Any) -> dict[str, Any]:
        self._service.need_regions().unregister(asked.name)
        return {}


async def _refuse(context: Any, error: Exception) -> None:
    """End a call with the error's status and text; never returns."""
    status = status_of(error)
    text = str(error) if isinstance(error, WorkbenchError) else f"the server failed: {type(error).__name__}"
    if status >= 500 and status != 503:
        _log.error(text, exc_info=error)
    wait = error.fields.get("retry_after_s") if isinstance(error, WorkbenchError) else None
    trailing = () if wait is None else (("retry-after", str(wait)),)
    await context.abort(_CODES.get(status, grpc.StatusCode.INTERNAL), text, trailing)


def _text(metadata: dict[str, Any], key: str) -> str:
    value = metadata.get(key, "")
    return value if isinstance(value, str) else ""
