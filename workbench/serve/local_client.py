"""A client of the local transport: the same calls as over HTTP, for a replica on this machine."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from ..errors import BadRequest, ServeError
from .heads import ReadHeads, WrittenHeads
from .local_wire import Answer, Request, hear_hello
from .protocol import InferAnswer, InferRequest, OutputWish, Parts, decode_answer, request_parts
from .tensors import Array


class LocalClient:
    """Ask one replica over its Unix socket. Not for several threads at once: give each its own.

    Parameters
    ----------
    path
        The replica's ``--local-socket``.
    timeout_s
        Limit for connecting and for each answer.

    Raises
    ------
    ServeError
        If nobody answers there.
    """

    def __init__(self, path: Path, *, timeout_s: float = 30.0) -> None:
        self._path = path
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.settimeout(timeout_s)
        try:
            self._connection.connect(str(path))
            self._memory = hear_hello(self._connection)
        except OSError as error:
            self._connection.close()
            raise ServeError(f"no answer: {error}", where=str(path), fix="is the replica up?") from error
        self._read, self._written = ReadHeads(_read), WrittenHeads()
        self.closing = False
        """Whether the replica asked to connect elsewhere with its last answer."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
        self._memory.close()

    def infer(
        self, inputs: Mapping[str, Array], *, outputs: tuple[str, ...] = (), request_id: str = ""
    ) -> InferAnswer:
        """Send arrays by name and return the answer; its arrays are copies.

        Raises
        ------
        BadRequest
            If the request does not fit, or is larger than the replica's ``--max-body-mib``.
        ServeError
            If the replica fails, is busy (``fields["status"]``) or is gone.
        """
        message = self._written.parts(
            (request_id, *outputs), inputs, lambda: _parts(inputs, outputs, request_id)
        )
        size = message.size
        if size > self._memory.capacity:
            raise BadRequest(f"a request of {size} bytes", fix=f"at most {self._memory.capacity}", status=413)
        message.write_to(self._memory.request)
        answer = self._ask(Request(size, -1 if message.header_size is None else message.header_size))
        self.closing = answer.closing
        body = bytearray(self._memory.answer[: answer.size])
        if answer.status != 200:
            kind = BadRequest if 400 <= answer.status < 500 else ServeError
            raise kind(str(json.loads(body)["error"]), where=str(self._path), status=answer.status)
        said, arrays = self._read.read(memoryview(body), answer.header_size)
        return InferAnswer(said.model, said.version, arrays, said.id)

    def _ask(self, request: Request) -> Answer:
        try:
            self._connection.sendall(request.pack())
            answer = Answer.receive(self._connection)
        except OSError as error:
            raise ServeError(f"no answer: {error}", where=str(self._path)) from error
        if answer is None:
            raise ServeError("the replica has gone", where=str(self._path), fix="connect anew")
        return answer


def _parts(inputs: Mapping[str, Array], outputs: tuple[str, ...], request_id: str) -> Parts:
    wishes = tuple(OutputWish(name, True) for name in outputs)
    return request_parts(InferRequest(inputs, wishes, binary=True, id=request_id))


def _read(body: memoryview, header_size: int) -> tuple[InferAnswer, Mapping[str, Array]]:
    answer = decode_answer(body, None if header_size < 0 else str(header_size))
    return InferAnswer(answer.model, answer.version, {}, answer.id), answer.outputs
