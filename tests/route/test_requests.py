"""The requests of kept connections, split by the kernel: real connections to real replicas, counted exactly."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.route.behind_kernel import begin, endpoint, eventually, in_flight, track
from tests.route.conftest import Lines, Rig
from tests.route.kept_connections import answered_by, answers, ask, half
from tests.route.traffic import ask_get, traffic
from workbench.bpf.libbpf import Library
from workbench.errors import TraceError
from workbench.route.kernel import client, layout
from workbench.route.kernel.pinned import PINS, Pinned
from workbench.route.kernel.request_route import RequestRoute
from workbench.route.policy import Budget
from workbench.route.state import Track, promote, roll_back, start_canary, swap

pytestmark = pytest.mark.bpf

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


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


def test_a_track_that_still_answers_says_so(rig: Rig, route: RequestRoute, lines: Lines) -> None:
    line = lines.raw(begin(route, rig, track(rig, 1)))
    line.sendall(GET)
    assert answers(line, 1) == ["1"]
    line.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
    eventually(lambda: in_flight(route))
    last = track(rig, 2)
    old = route.update(lambda now: swap(now, last)).draining
    assert old is not None
    (left,) = route.busy(old.endpoints)
    assert f"process {old.endpoints[0].pid} " in left
    assert ": 1 requests without an answer, 1 open connections, 1 answered," in left
    assert not route.drained(old.endpoints, 0)
    line.sendall(b"def")
    assert answers(line, 1) == ["1"]
    assert route.drained(old.endpoints, 30)
    assert route.busy(old.endpoints) == ()


def test_a_request_that_has_not_arrived_keeps_its_track(rig: Rig, route: RequestRoute, lines: Lines) -> None:
    line = lines.http(begin(route, rig, track(rig, 1)))
    assert ask(line) == "1"
    (connector,) = connectors(rig)
    connector.send_signal(signal.SIGSTOP)  # it would move the client to the next track
    last = track(rig, 2)
    old = route.update(lambda now: swap(now, last)).draining
    assert old is not None
    assert route.drained(old.endpoints, 30)
    pinned = Pinned(Library(), PINS / str(os.geteuid()) / route.key)
    (pair,) = [one for one in pinned.pairs if one.answered]
    pair.phase = (
        layout.ASKED
    )  # as the program does when it has chosen, and before the replica can see anything
    (left,) = route.busy(old.endpoints)
    assert "0 requests without an answer, 1 open connections" in left
    assert left.endswith(", 1 carried to its track or unanswered there")
    connector.kill()  # and its sockets with it
    connector.wait(10)
    assert route.busy(old.endpoints) == ()


def connectors(rig: Rig) -> list[subprocess.Popen[bytes]]:
    return [p for p in rig.processes if "workbench.route.kernel.connector" in p.args]  # type: ignore[operator]


def test_a_version_may_end_while_the_connector_does_not_run(
    rig: Rig, route: RequestRoute, lines: Lines
) -> None:
    url = begin(route, rig, track(rig, 1))
    kept = [lines.http(url) for _ in range(4)]
    sent = [lines.raw(url) for _ in range(2)]
    for one in sent:
        one.sendall(GET)
    assert [ask(line) for line in kept] + [answers(one, 1)[0] for one in sent] == ["1"] * 6
    (connector,) = connectors(rig)
    connector.send_signal(signal.SIGSTOP)
    last = track(rig, 2)
    after = route.update(lambda now: swap(now, last))
    assert after.draining is not None
    assert route.drained(after.draining.endpoints, 30)
    rig.by_id["1-0"].kill()
    rig.by_id["1-0"].wait(10)
    for line in kept:
        line.request("GET", "/")
    for one in sent:  # a head, and a body in pieces
        one.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n")
        one.sendall(b"abc")
    connector.send_signal(signal.SIGCONT)
    for one in sent:
        one.sendall(b"def")
    assert [answered_by(line) for line in kept] + [answers(one, 1)[0] for one in sent] == ["2"] * 6
    assert [ask(line) for line in kept] == ["2"] * 4


def test_without_its_connector_the_kernel_splits_connections(
    rig: Rig, route: RequestRoute, lines: Lines
) -> None:
    url = half(rig, route)
    assert len({ask(lines.http(url)) for _ in range(10)}) == 2
    (connector,) = connectors(rig)
    connector.kill()
    connector.wait(10)
    assert not route.alive()
    kept = [lines.http(url) for _ in range(8)]
    assert len({ask(line) for line in kept}) == 2
    assert all(len({ask(line) for _ in range(3)}) == 1 for line in kept)
    with ThreadPoolExecutor() as pool:  # as a supervisor and a push may at once
        list(pool.map(route.wait_ready, [30, 30]))
    assert route.alive()
    assert len(connectors(rig)) == 2  # the dead one, and one in its place
    line = lines.http(url)
    assert len({ask(line) for _ in range(10)}) == 2


def test_what_a_connector_asks_in_vain_leaves_nothing_open(rig: Rig, route: RequestRoute) -> None:
    begin(route, rig, track(rig, 1))
    socket = route.folder / "router.sock"
    (router,) = (p for p in rig.processes if "workbench.route.kernel.router" in p.args)  # type: ignore[operator]
    before = len(os.listdir(f"/proc/{router.pid}/fd"))
    for _ in range(3):
        with (route.folder / "router.log").open() as no_listener, pytest.raises(TraceError):
            client.ask(socket, {"do": "connect", "key": route.key}, [no_listener.fileno()])
    eventually(
        lambda: len(os.listdir(f"/proc/{router.pid}/fd")) <= before
    )  # a connection of ours may be closing
