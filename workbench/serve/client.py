"""A small client of the Open Inference Protocol v2 over one kept-alive connection (http.client and numpy).

Inference changes nothing on the server, so a request whose connection ends before its answer was whole is sent once
more on a new one: a route gives that to another replica, or keeps it until the dead one's next process. A kept
connection that the server closed meanwhile does not count. Everything else is reported as it is.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, urlsplit

from ..errors import BadRequest, InputError, ServeError
from .protocol import (
    HEADER_SIZE,
    InferAnswer,
    InferRequest,
    Message,
    OutputWish,
    decode_answer,
    encode_request,
)
from .tensors import Array

_STALE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)
_CUT = (*_STALE, http.client.IncompleteRead)


@dataclass(frozen=True)
class Reply:
    """An answer and who gave it.

    Parameters
    ----------
    answer
        The decoded answer.
    track, version
        What the replica says of itself in ``x-mlops-track`` and ``x-mlops-version``.
    closing
        Whether the server asked to connect anew (it is draining).
    """

    answer: InferAnswer
    track: str
    version: str
    closing: bool

    @property
    def outputs(self) -> Mapping[str, Array]:
        """The output arrays by name."""
        return self.answer.outputs


class InferenceClient:
    """Ask one server. Not for several threads at once: give each its own.

    Parameters
    ----------
    url
        ``http://host:port``.
    timeout_s
        Limit for connecting and for each read.
    """

    def __init__(self, url: str, *, timeout_s: float = 30.0) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            raise InputError(f"{url!r} is not an address to ask", where="url", fix="http://127.0.0.1:8080")
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=timeout_s)
        self._url = url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        self._connection.close()

    def live(self) -> bool:
        """Return whether the server's process answers."""
        return self._status("/v2/health/live") == 200

    def ready(self, model: str | None = None, *, version: str | None = None) -> bool:
        """Return whether the server (or one model of it) wants requests."""
        path = "/v2/health/ready" if model is None else f"{_path(model, version)}/ready"
        return self._status(path) == 200

    def metadata(self, model: str | None = None, *, version: str | None = None) -> dict[str, Any]:
        """Return what the server (or one model of it) says of itself."""
        body, _ = self._ask("GET", "/v2" if model is None else _path(model, version))
        found: dict[str, Any] = json.loads(body)
        return found

    def metrics(self) -> str:
        """Return the server's counters in the Prometheus text format."""
        body, _ = self._ask("GET", "/metrics")
        return body.decode()

    def infer(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        version: str | None = None,
        outputs: tuple[str, ...] = (),
        binary: bool = True,
        request_id: str = "",
    ) -> Reply:
        """Send arrays by name and return the reply.

        Parameters
        ----------
        model, version
            Which model; without a version, whatever the server serves.
        inputs
            Arrays that fit the model's signature.
        outputs
            Names to ask for; empty asks for all.
        binary
            Raw bytes both ways; ``False`` sends and asks for JSON.
        request_id
            Comes back in the answer.

        Raises
        ------
        BadRequest
            If the server refuses the request (4xx).
        ServeError
            If the server fails, is busy (``fields["status"]``) or cannot be reached.
        """
        wishes = tuple(OutputWish(name, binary) for name in outputs)
        request = InferRequest(inputs, wishes, binary=binary, id=request_id)
        message = encode_request(request, binary=binary)
        body, headers = self._ask("POST", f"{_path(model, version)}/infer", message)
        return Reply(
            decode_answer(body, headers.get(HEADER_SIZE)),
            track=headers.get("x-mlops-track", ""),
            version=headers.get("x-mlops-version", ""),
            closing=headers.get("connection", "").lower() == "close",
        )

    def _status(self, path: str) -> int:
        try:
            response = self._send("GET", path, None)
        except (OSError, http.client.HTTPException):
            self.close()
            return 0
        response.read()
        return response.status

    def _ask(self, method: str, path: str, message: Message | None = None) -> tuple[bytes, Mapping[str, str]]:
        try:
            response, body = self._whole_answer(method, path, message)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ServeError(
                f"no answer: {type(error).__name__}: {error}", where=self._url + path, fix="is the server up?"
            ) from error
        headers = {name.lower(): value for name, value in response.getheaders()}
        if response.status != 200:
            raise _failure(response.status, body, self._url + path)
        return body, headers

    def _whole_answer(
        self, method: str, path: str, message: Message | None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        try:
            response = self._send(method, path, message)
            return response, response.read()
        except _CUT:  # whoever was answering died; nothing on a replica changes by asking twice
            self.close()
            response = self._send(method, path, message)
            return response, response.read()

    def _send(self, method: str, path: str, message: Message | None) -> http.client.HTTPResponse:
        reused = self._connection.sock is not None
        try:
            return self._send_once(method, path, message)
        except _STALE:
            self.close()
            if not reused:
                raise
            return self._send_once(method, path, message)

    def _send_once(self, method: str, path: str, message: Message | None) -> http.client.HTTPResponse:
        body, headers = (message.body, message.headers) if message else (None, {})
        self._connection.request(method, path, body, headers)
        return self._connection.getresponse()


def _path(model: str, version: str | None) -> str:
    base = f"/v2/models/{quote(model, safe='')}"
    return base if version is None else f"{base}/versions/{quote(version, safe='')}"


def _failure(status: int, body: bytes, where: str) -> ServeError:
    try:
        text = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        text = f"the server answered {status}"
    kind = BadRequest if 400 <= status < 500 else ServeError
    return kind(text, where=where, status=status)
