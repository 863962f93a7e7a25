"""What the proxy passes, and what it refuses: HTTP/1.1 over real sockets."""

from __future__ import annotations

import json
import socket
from urllib.parse import urlsplit

import pytest

from tests.route.conftest import Rig
from tests.route.proxy_clients import get, send_raw


@pytest.mark.parametrize("size", [0, 1, 100_000, 5_000_000])
def test_bodies_pass_both_ways_unchanged(rig: Rig, size: int) -> None:
    url = rig.serve(rig.track(1))
    body = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
    assert get(url, "/echo", "POST", body)[1] == body


def test_a_chunked_request_arrives_with_a_length(rig: Rig) -> None:
    url = rig.serve(rig.track(1))
    request = b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = send_raw(url, request + b"5;note=1\r\nhello\r\n6\r\n world\r\n0\r\nX-T: 1\r\n\r\n")
    assert answer.endswith(b"\r\n\r\nhello world")


def test_a_chunked_answer_passes(rig: Rig) -> None:
    url = rig.serve(rig.track(1))
    _, body = get(url, "/chunked?400")
    assert body == b"".join(b"piece %d;" % n for n in range(400))
    assert rig.route.drained(rig.route.state().stable.endpoints, 5)


def test_pipelined_requests_are_answered_in_order(rig: Rig) -> None:
    url = rig.serve(rig.track(1))
    first = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none"
    last = b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\ntwo"
    answer = send_raw(url, first + last)
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.index(b"one") < answer.index(b"two")


def test_head_and_http_1_0(rig: Rig) -> None:
    url = rig.serve(rig.track(1))
    answer, body = get(url, "/large?500", "HEAD")
    assert (answer.headers["content-length"], body) == ("500", b"")
    old = send_raw(url, b"GET /large?5 HTTP/1.0\r\n\r\n")
    assert b"connection: close" in old
    assert old.endswith(b"xxxxx")


def test_expect_100_continue_is_answered_before_the_body(rig: Rig) -> None:
    address = urlsplit(rig.serve(rig.track(1)))
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"ok")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK")


def test_headers_of_one_hop_stay_there(rig: Rig) -> None:
    url = rig.serve(rig.track(1))
    _, body = get(
        url, Connection="keep-alive, x-secret", TE="trailers", **{"x-secret": "1", "x-request-id": "7"}
    )
    seen = json.loads(body)["headers"]
    assert not {"connection", "te", "x-secret"} & set(seen)
    assert seen["x-request-id"] == "7"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
    ],
)
def test_malformed_requests_are_refused(rig: Rig, request_bytes: bytes, status: int) -> None:
    url = rig.serve(rig.track(1))
    answer = send_raw(url, request_bytes)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert b"connection: close" in answer
    stats = rig.route.stats()
    assert stats is not None
    assert stats.tracks["stable"].requests == 0
    assert get(url)[0].status == 200


def test_slow_clients_are_sent_away(rig: Rig) -> None:
    url = rig.serve(rig.track(1), "--head-s", "0.3", "--body-s", "0.3")
    assert send_raw(url, b"GET / HTTP/1.1\r\nHo").startswith(b"HTTP/1.1 408 ")
    assert send_raw(url, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab").startswith(
        b"HTTP/1.1 408 "
    )
    assert send_raw(url, b"") == b""  # an idle connection is closed without a word
    assert get(url)[0].status == 200


def test_a_silent_replica_gives_504(rig: Rig) -> None:
    url = rig.serve(rig.track(1), "--answer-s", "0.3")
    assert get(url, "/slow?5")[0].status == 504
