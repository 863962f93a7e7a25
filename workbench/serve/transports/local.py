"""Requests from this machine without a copy through the network stack: a Unix socket and shared memory.

Each connection has a thread and a memory of its own (:mod:`~workbench.serve.local_wire`). A request is copied out of
the memory once, so that its values cannot change between the check and the use; then it takes the same queue as all.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import BadRequest, ServeError, WorkbenchError
from ..heads import ReadHeads, WrittenHeads
from ..local_wire import Answer, Memory, Request, say_hello
from ..protocol import InferAnswer, InferRequest, OutputWish, Parts, answer_parts, decode_request
from ..service import Service, status_of
from ..tensors import Array
from ..trace_context import TraceContext

MOST_CONNECTIONS = 64
_CREDENTIALS = struct.Struct("3i")
_log = logging.getLogger(__package__)


@dataclass
class _LocalExchange:
    """A message taken from the memory, and the one that answers it."""

    body: memoryview
    header_size: int
    heads: _Heads

    def decode(self) -> InferRequest:
        said, arrays = self.heads.read.read(self.body, self.header_size)
        return InferRequest(arrays, said.outputs, said.binary, said.id)

    def encode(self, answer: InferAnswer, wishes: Sequence[OutputWish]) -> Parts:
        arrays = {wish.name: answer.outputs[wish.name] for wish in wishes}
        return self.heads.written.parts((answer.id, *wishes), arrays, lambda: answer_parts(answer, wishes))


def _read(body: memoryview, header_size: int) -> tuple[InferRequest, Mapping[str, Array]]:
    request = decode_request(body, None if header_size < 0 else str(header_size))
    return InferRequest({}, request.outputs, request.binary, request.id), request.inputs


@dataclass
class _Heads:
    """What one connection's messages said before."""

    read: ReadHeads[InferRequest] = field(default_factory=lambda: ReadHeads(_read))
    written: WrittenHeads = field(default_factory=WrittenHeads)


class LocalTransport:
    """Serve one replica on a Unix socket.

    Parameters
    ----------
    service
        What answers.
    path
        Of the socket; replaced if a dead one lies there. Only this user and root may connect.
    """

    def __init__(self, service: Service, path: Path) -> None:
        self._service, self._path = service, path
        self._listener = socket.socket(socket.AF_UNIX)
        self._connections: set[socket.socket] = set()
        self._busy = 0
        self._changed = threading.Lock()

    async def start(self) -> dict[str, Any]:
        """Accept connections; return the socket's path.

        Raises
        ------
        ServeError
            If the path cannot be used, or another replica answers there.
        """
        probe = socket.socket(socket.AF_UNIX)
        with probe, contextlib.suppress(OSError):
            probe.connect(str(self._path))
            raise ServeError(
                "another replica answers there", where=str(self._path), fix="--local-socket PATH"
            )
        try:
            self._path.unlink(missing_ok=True)
            self._listener.bind(str(self._path))
            self._path.chmod(0o600)
            self._listener.listen(MOST_CONNECTIONS)
        except OSError as error:
            raise ServeError(
                f"cannot serve there: {error}", where=str(self._path), fix="a short path"
            ) from error
        threading.Thread(target=self._accept, name="local", daemon=True).start()
        return {"local_socket": str(self._path)}

    async def stop(self, grace_s: float) -> None:
        """Accept no more, wait for the requests in flight, then end every connection."""
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
        self._listener.close()
        until = time.monotonic() + grace_s
        while self._busy and time.monotonic() < until:
            await asyncio.sleep(0.005)
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if not _allowed(connection) or len(self._connections) >= MOST_CONNECTIONS:
                connection.close()
                continue
            self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), name="local", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        memory, heads = Memory.make(self._service.max_body_bytes), _Heads()
        try:
            say_hello(connection, memory)
            while (request := Request.receive(connection)) is not None:
                with self._changed:
                    self._busy += 1
                try:
                    connection.sendall(self._answer(request, memory, heads).pack())
                finally:
                    with self._changed:
                        self._busy -= 1
        except OSError:
            pass  # the client is gone, and its request with it
        finally:
            self._connections.discard(connection)
            connection.close()
            memory.close()

    def _answer(self, request: Request, memory: Memory, heads: _Heads) -> Answer:
        start, trace, status = time.perf_counter(), TraceContext.of("", ""), 500
        self._service.metrics.begin()
        try:
            message = self._infer(request, memory, heads)
            status = 200
        except (Exception, CancelledError) as error:  # noqa: BLE001 - whatever it is, the client is told
            status = status_of(error)
            known = isinstance(error, WorkbenchError)
            if status >= 500 and status != 503:
                _log.error("a request failed", exc_info=error)
            text = str(error) if known else f"the server failed: {type(error).__name__}"
            message = Parts(json.dumps({"error": text}).encode()[: memory.capacity])
        finally:
            self._service.finished(trace, status, start, "local")
        message.write_to(memory.answer)
        header_size = -1 if message.header_size is None else message.header_size
        return Answer(status, self._service.drain.active, message.size, header_size)

    def _infer(self, request: Request, memory: Memory, heads: _Heads) -> Parts:
        if request.size > memory.capacity:
            raise BadRequest(
                f"a request of {request.size} bytes", fix=f"at most {memory.capacity}", status=413
            )
        exchange = _LocalExchange(memory.take(request.size), request.header_size, heads)
        message: Parts = self._service.pool.run_here(exchange)
        if message.size > memory.capacity:
            raise ServeError(
                f"an answer of {message.size} bytes", fix=f"at most {memory.capacity} (--max-body-mib)"
            )
        return message


def _allowed(connection: socket.socket) -> bool:
    """Return whether the process at the other end is this user's or root's."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(data)[1] in (os.geteuid(), 0)
