"""The protocol's addresses and status codes (starlette)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ..errors import BadRequest, WorkbenchError
from . import fields
from .metrics import CONTENT_TYPE
from .protocol import (
    HEADER_SIZE,
    InferAnswer,
    InferRequest,
    Message,
    OutputWish,
    decode_request,
    encode_answer,
)
from .service import Service, status_of
from .shared_memory import Regions

BODY_TIMEOUT_S = 30.0
DISCARD_BYTES = 64 << 20
_log = logging.getLogger(__package__)


def build(service: Service) -> Starlette:
    """Return the application that serves one model."""
    handlers = _Handlers(service)
    routes = [
        Route("/v2", handlers.server),
        Route("/v2/health/live", handlers.live),
        Route("/v2/health/ready", handlers.ready),
        Route("/metrics", handlers.metrics_text),
    ]
    for base in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        routes += [
            Route(base, handlers.metadata),
            Route(f"{base}/ready", handlers.model_ready),
            Route(f"{base}/infer", handlers.infer, methods=["POST"]),
        ]
    for base in ("/v2/systemsharedmemory", "/v2/systemsharedmemory/region/{region}"):
        routes += [
            Route(f"{base}/status", handlers.regions),
            Route(f"{base}/unregister", handlers.unregister, methods=["POST"]),
        ]
    routes.append(Route(f"{base}/register", handlers.register, methods=["POST"]))
    app = Starlette(
        routes=routes,
        exception_handlers={WorkbenchError: _refuse, HTTPException: _refuse_http, Exception: _refuse_unknown},
    )
    app.router.redirect_slashes = False
    return app


@dataclass
class _HttpExchange:
    """A body and its header, and the message that answers them."""

    body: bytearray
    header_size: str | None
    regions: Regions | None

    def decode(self) -> InferRequest:
        return decode_request(self.body, self.header_size, self.regions)

    def encode(self, answer: InferAnswer, wishes: Sequence[OutputWish]) -> Message:
        return encode_answer(answer, wishes, self.regions)


class _Handlers:
    """What each address answers."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def server(self, request: Request) -> Response:
        return JSONResponse(self._service.metadata())

    async def live(self, request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(self, request: Request) -> Response:
        ready = self._service.ready
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    async def metadata(self, request: Request) -> Response:
        self._check_model(request)
        return JSONResponse(self._service.model.metadata())

    async def model_ready(self, request: Request) -> Response:
        self._check_model(request)
        return await self.ready(request)

    async def metrics_text(self, request: Request) -> Response:
        text = self._service.metrics.text(self._service.pool, self._service.model.costs)
        return PlainTextResponse(text, media_type=CONTENT_TYPE)

    async def infer(self, request: Request) -> Response:
        self._check_model(request)
        if request.headers.get("content-encoding", "identity") != "identity":
            raise BadRequest("a compressed body is not supported", where="content-encoding", status=415)
        body = await self._body(request)
        exchange = _HttpExchange(body, request.headers.get(HEADER_SIZE), self._service.regions)
        message = await self._service.infer(exchange)
        return Response(message.body, headers=message.headers)

    async def regions(self, request: Request) -> Response:
        found = self._service.need_regions().status(request.path_params.get("region", ""))
        return JSONResponse(
            [
                {"name": name, "key": region.key, "offset": region.offset, "byte_size": region.size}
                for name, region in found.items()
            ]
        )

    async def register(self, request: Request) -> Response:
        regions, asked = self._service.need_regions(), fields.parse_json(await self._body(request))
        regions.register(
            request.path_params["region"],
            fields.text(asked, "key", where="register"),
            fields.size(asked, "offset", 0, where="register"),
            fields.size(asked, "byte_size", None, where="register"),
        )
        return JSONResponse({})

    async def unregister(self, request: Request) -> Response:
        self._service.need_regions().unregister(request.path_params.get("region", ""))
        return JSONResponse({})

    def _check_model(self, request: Request) -> None:
        asked = request.path_params
        self._service.check_model(asked["model"], asked.get("version", ""), request.url.path)

    async def _body(self, request: Request) -> bytearray:
        """Read the body into writable memory, so that tensors can lie in it without a copy.

        A body over the limit is read to its end and thrown away: a client that is still sending would meet a
        reset connection instead of the answer. Only one that is out of all proportion is cut off.
        """
        limit, declared = self._service.max_body_bytes, int(request.headers.get("content-length", "0"))
        waits = request.headers.get("expect", "").lower() == "100-continue"  # it sends nothing before we ask
        if declared > limit + DISCARD_BYTES or (declared > limit and waits):
            raise self._too_large(close=True)
        size, body = 0, bytearray()
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size <= limit:
                        body += chunk
                    elif size > limit + DISCARD_BYTES:
                        raise self._too_large(close=True)
        except TimeoutError as error:
            raise BadRequest(f"no whole body within {BODY_TIMEOUT_S:g} s", status=408, close=True) from error
        except ClientDisconnect as error:  # nobody reads this answer; it keeps the error counters honest
            raise BadRequest("the client left before its body was whole") from error
        if size > limit:
            raise self._too_large(close=False)
        return body

    def _too_large(self, *, close: bool) -> BadRequest:
        return BadRequest(
            "the body is too large",
            fix=f"send at most {self._service.max_body_bytes} bytes (--max-body-mib)",
            status=413,
            close=close,
        )


async def _refuse(request: Request, error: Exception) -> Response:
    """Say what was wrong, with the error's own status, else 400 (the caller's fault) or 500 (ours)."""
    assert isinstance(error, WorkbenchError)
    status = status_of(error)
    headers = {"connection": "close"} if error.fields.get("close") else {}
    if "retry_after_s" in error.fields:
        headers["retry-after"] = str(error.fields["retry_after_s"])
    if status == 500:
        _log.error(error.what, exc_info=error, extra={"facts": {"where": error.where}})
    return JSONResponse({"error": str(error)}, status, headers)


async def _refuse_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = f"{error.detail}: {request.method} {request.url.path}"
    return JSONResponse({"error": text}, error.status_code, error.headers)


async def _refuse_unknown(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"the server failed: {type(error).__name__}"}, 500)
