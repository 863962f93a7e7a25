"""The requests of kept connections, split by the kernel: real connections to real replicas, counted exactly."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest

from tests.route.behind_kernel import begin, endpoint, eventually, track
from tests.route.conftest import Rig
from tests.route.traffic import ask_get, traffic
from workbench.bpf.libbpf import Library
from workbench.route.kernel import layout
from workbench.route.kernel.pinned import PINS, Pinned
from workbench.route.kernel.request_route import RequestRoute
from workbench.route.kernel.route import remove_pins
from workbench.route.policy import Budget
from workbench.route.state import Track, promote, roll_back, start_canary, swap

pytestmark = pytest.mark.bpf

_LARGE = os.urandom(1 << 20) * 12  # more than the buffers of all sockets on the way


@pytest.fixture
def route(rig: Rig) -> Iterator[RequestRoute]:
    route = RequestRoute(rig.folder / "deployment" / "route", rig.launch)
    yield route
    remove_pins(route.folder)


@dataclass
class Lines:
    """Connections that are closed after the test."""

    open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def http(self, url: str, host: str = "127.0.0.1") -> http.client.HTTPConnection:
        line = http.client.HTTPConnection(host, int(url.rpartition(":")[2]), timeout=30)
        return self.open.enter_context(contextlib.closing(line))

    def raw(self, url: str) -> socket.socket:
        line = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=30)
        return self.open.enter_context(line)


@pytest.fixture
def lines() -> Iterator[Lines]:
    lines = Lines()
    with lines.open:
        yield lines


def ask(line: http.client.HTTPConnection, path: str = "/", body: bytes | None = None) -> str:
    line.request("POST" if body else "GET", path, body)
    answer = line.getresponse()
    data = answer.read()
    assert answer.status == 200
    if body:
        assert data == body
    return str(answer.headers["x-mlops-version"])


def all_of(line: socket.socket) -> bytes:
    """Return what comes until the other side closes."""
    parts = []
    while data := line.recv(1 << 16):
        parts.append(data)
    return b"".join(parts)


def answers(line: socket.socket, count: int) -> list[str]:
    """Return the versions of so many answers with a body of a known length."""
    data, found = b"", []
    while len(found) < count:
        head, mark, rest = data.partition(b"\r\n\r\n")
        fields = dict(one.split(b": ", 1) for one in head.split(b"\r\n")[1:]) if mark else {}
        length = int(next((v for k, v in fields.items() if k.lower() == b"content-length"), b"0"))
        if mark and len(rest) >= length:
            if b" 100 " not in head.partition(b"\r\n")[0]:
                found.append(fields[b"x-mlops-version"].decode())
            data = rest[length:]
            continue
        piece = line.recv(1 << 16)
        assert piece, f"it ended after {found}: {data!r}"
        data += piece
    assert data == b""
    return found


def half(rig: Rig, route: RequestRoute) -> str:
    """Start a stable track and a canary with half of the requests; return the URL."""
    url = begin(route, rig, track(rig, 1))
    canary = track(rig, 2)
    route.update(lambda now: start_canary(now, canary, 5_000, Budget(breaches=64)))
    return url


def test_one_connection_meets_both_tracks_exactly(rig: Rig, route: RequestRoute, lines: Lines) -> None:
    url = begin(route, rig, track(rig, 1))
    line = lines.http(url)
    assert {ask(line) for _ in range(5)} == {"1"}
    canary = track(rig, 2)
    route.update(lambda now: start_canary(now, canary, 2_500))
    eventually(lambda: ask(line) == "2")  # the connection was open before the canary came
    for one in (line, lines.http(url), lines.http(url, "::1")):
        seen = Counter(ask(one) for _ in range(80))
        assert abs(seen["2"] - 20) < 6
    stats = route.stats()
    assert stats is not None
    assert stats.implementation == "kernel (sk_lookup, requests by sockmap)"
    assert stats.tracks["canary"].p50_ms  # judged where it is served, as by connection
    after = route.update(promote)
    assert {ask(line) for _ in range(10)} == {"2"}
    assert after.draining is not None
    assert route.drained(after.draining.endpoints, 30)


def test_no_request_reaches_a_canary_after_the_flip(rig: Rig, route: RequestRoute) -> None:
    url = begin(route, rig, track(rig, 1))
    bad = Track(2, (endpoint(rig, 2, 0, "bad"),))
    with traffic(url, ask_get(), clients=8) as load:
        load.wait_for(50)
        route.update(lambda now: start_canary(now, bad, 5_000, Budget(breaches=8)))
        pinned = Pinned(Library(), PINS / str(os.geteuid()) / route.key)
        eventually(lambda: pinned.control.state == layout.ROLLED_BACK)
        place = pinned.control.canary * layout.PER_TRACK
        eventually(lambda: pinned.replicas[place].in_flight == 0)
        served = pinned.replicas[place].requests
        load.wait_for(200)
        assert pinned.replicas[place].requests == served
    assert pinned.control.late == 0
    (record,) = route.state().rollbacks
    assert (record.reason, record.by) == ("errors", "sentinel")
    assert record.flip_ns - record.breach_ns > 0
    assert served == len(load.failures)  # each of the canary's answers, and nothing else
    assert all(one.startswith("ValueError: 500") for one in load.failures)


def test_promote_roll_back_and_swap_lose_no_request(rig: Rig, route: RequestRoute) -> None:
    url = begin(route, rig, track(rig, 1))
    with traffic(url, ask_get(), clients=8) as load:
        for version, end in ((2, promote), (3, partial(roll_back, decided_ns=1))):
            fresh = track(rig, version)
            route.update(partial(start_canary, track=fresh, weight=5_000, budget=Budget(breaches=64)))
            load.wait_for(100)
            route.update(end)
            load.wait_for(100)
        last = track(rig, 4)
        route.update(lambda now: swap(now, last))
        load.wait_for(100)
        time.sleep(0.1)
        seen = load.by_version()["4"]
        load.wait_for(100)
        assert load.by_version()["4"] >= seen + 100 - 8
    assert load.failures == []


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


def test_idle_clients_do_not_notice_a_replica_that_dies(rig: Rig, route: RequestRoute, lines: Lines) -> None:
    url = begin(route, rig, track(rig, 1, 2))
    kept = [lines.http(url) for _ in range(6)]
    assert [ask(line) for line in kept] == ["1"] * 6
    rig.by_id["1-0"].kill()
    rig.by_id["1-0"].wait(10)
    time.sleep(0.2)
    assert [ask(line) for line in kept] == ["1"] * 6


def test_a_replica_that_dies_in_a_request_is_a_502(rig: Rig, route: RequestRoute, lines: Lines) -> None:
    one = endpoint(rig, 1)
    line = lines.http(begin(route, rig, Track(1, (one,))))
    assert ask(line) == "1"
    line.request("GET", "/slow?20")
    time.sleep(0.2)
    os.kill(one.pid, signal.SIGKILL)
    assert line.getresponse().status == 502


def test_without_its_connector_the_kernel_splits_connections(
    rig: Rig, route: RequestRoute, lines: Lines
) -> None:
    url = half(rig, route)
    assert len({ask(lines.http(url)) for _ in range(10)}) == 2
    connector = next(p for p in rig.processes if "workbench.route.kernel.connector" in p.args)  # type: ignore[operator]
    connector.kill()
    connector.wait(10)
    assert not route.alive()
    kept = [lines.http(url) for _ in range(8)]
    assert len({ask(line) for line in kept}) == 2
    assert all(len({ask(line) for _ in range(3)}) == 1 for line in kept)
    route.wait_ready(30)
    assert route.alive()
    line = lines.http(url)
    assert len({ask(line) for _ in range(10)}) == 2
