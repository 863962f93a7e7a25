"""What the split by request carries, whole and in order: HTTP/1.1 in every shape, over real connections."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter

import pytest

from tests.route.behind_kernel import begin, track
from tests.route.conftest import Lines, Rig
from tests.route.kept_connections import all_of, answers, ask, half
from workbench.route.kernel.request_route import RequestRoute
from workbench.route.state import swap

pytestmark = pytest.mark.bpf

_LARGE = os.urandom(1 << 20) * 12  # more than the buffers of all sockets on the way


def test_bodies_larger_than_the_buffers(rig: Rig, route: RequestRoute, lines: Lines) -> None:
    line = lines.http(half(rig, route))
    assert len({ask(line, "/echo", _LARGE) for _ in range(6)}) == 2
    slow = lines.http(f":{line.port}")
    slow.request("GET", f"/large?{32 << 20}")
    answer = slow.getresponse()
    time.sleep(0.3)  # the answer waits for its reader
    assert len(answer.read()) == 32 << 20
    assert ask(slow) in ("1", "2")


def test_answers_without_a_body(rig: Rig, route: RequestRoute, lines: Lines) -> None:
    line, seen = lines.http(half(rig, route)), Counter[str]()
    for _ in range(20):
        line.request("HEAD", "/")
        answer = line.getresponse()
        assert answer.read() == b""
        seen[str(answer.headers["x-mlops-version"])] += 1
    assert set(seen) == {"1", "2"}  # the connection is not stuck


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 3,
        b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 9_000 + b"\r\n\r\n",
    ],
    ids=["pipelined", "long head"],
)
def test_what_cannot_be_told_apart_stays_with_its_track(
    rig: Rig, route: RequestRoute, lines: Lines, first: bytes
) -> None:
    line = lines.raw(half(rig, route))
    line.sendall(first)
    seen = answers(line, first.count(b"host"))
    for _ in range(8):
        line.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        seen += answers(line, 1)
    assert len(set(seen)) == 1


def test_an_announced_body_is_split_as_any(rig: Rig, route: RequestRoute, lines: Lines) -> None:
    line, seen = lines.raw(half(rig, route)), []
    for _ in range(16):
        line.sendall(b"POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        told = b""
        while not told.endswith(b"\r\n\r\n"):
            told += line.recv(1 << 16)
        assert told.startswith(b"HTTP/1.1 100 ")
        line.sendall(b"abc")
        seen += answers(line, 1)
    assert set(seen) == {"1", "2"}


def test_a_body_that_never_comes_takes_nobody_elses_place(
    rig: Rig, route: RequestRoute, lines: Lines
) -> None:
    line, seen = lines.raw(half(rig, route)), []
    line.sendall(
        b"POST /unwanted HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3000\r\n\r\n"
    )
    seen += answers(line, 1)
    for _ in range(8):
        line.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        seen += answers(line, 1)
    assert len(seen) == 9
    assert len(set(seen)) == 1  # it stays where it was


def test_a_head_in_pieces_and_a_chunked_answer(rig: Rig, route: RequestRoute, lines: Lines) -> None:
    url = half(rig, route)
    line = lines.raw(url)
    for piece in (b"GE", b"T / HTTP/1.1\r\nho", b"st: a\r\n", b"\r\n"):
        line.sendall(piece)
        time.sleep(0.01)
    assert answers(line, 1)
    other = lines.http(url)
    for _ in range(4):
        other.request("GET", "/chunked")
        assert other.getresponse().read() == b"piece 0;piece 1;piece 2;"


@pytest.mark.parametrize("pause_s", [0.0, 0.05], ids=["at once", "later"])
def test_a_client_that_sends_no_more_gets_its_answer(
    rig: Rig, route: RequestRoute, lines: Lines, pause_s: float
) -> None:
    url = begin(route, rig, track(rig, 1))
    line = lines.raw(url)
    line.sendall(b"GET /large?3000000 HTTP/1.1\r\nhost: a\r\n\r\n")
    time.sleep(pause_s)
    line.shutdown(socket.SHUT_WR)
    assert all_of(line).endswith(b"x" * 3_000_000)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_connection_that_ends_with_its_answer(
    rig: Rig, route: RequestRoute, lines: Lines, version: str
) -> None:
    url = half(rig, route)
    for _ in range(4):
        line = lines.raw(url)
        line.sendall(b"GET / HTTP/%s\r\nhost: a\r\nconnection: close\r\n\r\n" % version.encode())
        assert b'"method": "GET"' in all_of(line)


def test_a_body_ends_at_the_track_it_began_at(rig: Rig, route: RequestRoute, lines: Lines) -> None:
    line = lines.raw(begin(route, rig, track(rig, 1)))
    line.sendall(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc")
    time.sleep(0.1)
    fresh = track(rig, 2)
    route.update(lambda now: swap(now, fresh))
    time.sleep(0.2)  # the connector has taken the first one's place away
    line.sendall(b"def")
    assert answers(line, 1) == ["1"]
    line.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    assert answers(line, 1) == ["2"]
