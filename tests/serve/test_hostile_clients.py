"""Clients that are slow, silent, endless or many: others are answered, and nothing is held for ever."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections.abc import Callable

import numpy as np
import pytest

from tests.serve.conftest import LIMIT_S, RunningReplica
from workbench.serve import connections

Start = Callable[..., RunningReplica]
X = np.zeros((1, 4), np.float32)


def connect(replica: RunningReplica) -> socket.socket:
    return socket.create_connection(("127.0.0.1", replica.port), LIMIT_S)


def rest(client: socket.socket) -> bytes:
    """Return everything until the server closes."""
    said = b""
    with contextlib.suppress(ConnectionResetError):
        while data := client.recv(65536):
            said += data
    return said


def assert_serves(replica: RunningReplica) -> None:
    with replica.client() as client:
        assert client.infer("tiny", {"x": X}).outputs["double"].shape == (1, 4)


def test_a_head_that_never_ends_is_cut_off_by_its_size(replica: RunningReplica) -> None:
    with connect(replica) as client:
        client.sendall(b"GET /v2 HTTP/1.1\r\n")
        with contextlib.suppress(OSError):
            for at in range(4096):
                client.sendall(b"x-%d: %s\r\n" % (at, b"y" * 100))
        assert rest(client).startswith(b"HTTP/1.1 431 ")
    assert_serves(replica)


def test_a_head_that_comes_a_byte_at_a_time_is_cut_off_by_the_clock(start: Start) -> None:
    """So many seconds for a head, however busy the client looks; meanwhile others are answered."""
    assert connections.HEAD_TIMEOUT_S == 10.0
    replica = start(loader="load_impatient").wait_ready()
    started = time.monotonic()
    with connect(replica) as client:
        client.sendall(b"POST /v2/models/tiny/infer HTTP/1.1\r\nx-slow: ")
        client.settimeout(0.2)
        said = b""
        while not said:
            assert time.monotonic() - started < LIMIT_S
            assert_serves(replica)
            try:
                client.sendall(b"a")
                said = client.recv(4096)
            except TimeoutError:
                continue
        assert said.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),  # TLS to a plain port
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /v2 HTTP/9.9\r\n\r\n",
        b"POST /v2/models/tiny/infer HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /v2/models/tiny/infer HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /v2/models/tiny/infer HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /v2 HTTP/1.1\r\nno colon here\r\n\r\n",
        b"\r\n" * 10 + b"\x00" * 10,
    ],
)
def test_bytes_that_are_not_http_get_an_answer_or_an_end(replica: RunningReplica, data: bytes) -> None:
    with connect(replica) as client:
        client.sendall(data)
        said = rest(client)
        assert not said or said.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert_serves(replica)


def test_ten_thousand_idle_connections(start: Start) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    count = min(10_000, most - 500)
    if count < 1000:
        pytest.skip(f"this process may open {most} files only")
    replica = start().wait_ready()
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(connect(replica))
        assert_serves(replica)
        with replica.client() as client:
            assert client.ready()


def test_more_connections_than_files_push_out_the_idlest(start: Start) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    replica = start_with_files(start, 400)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(connect(replica))
        for _ in range(500):
            stack.enter_context(connect(replica))
            assert_serves(replica)
        first.settimeout(LIMIT_S)
        assert rest(first) == b""  # it was let go
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)


def start_with_files(start: Start, files: int) -> RunningReplica:
    """Start a replica that may open only so many files."""
    replica = start()
    resource.prlimit(replica.process.pid, resource.RLIMIT_NOFILE, (files, files))
    return replica.wait_ready()
