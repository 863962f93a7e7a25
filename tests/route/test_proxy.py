"""The user-space proxy: its split, its retries, its sentinel, its life; real processes."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import socket
import time
from urllib.parse import urlsplit

import pytest

from tests.route.conftest import Rig
from tests.route.proxy_clients import get, wait_until
from tests.route.traffic import ask_get, traffic
from workbench.errors import PortInUse, ServeError
from workbench.route.base import cannot_listen
from workbench.route.policy import Budget
from workbench.route.proxy import listen
from workbench.route.state import RouteState, promote, roll_back, settle, start_canary, swap
from workbench.route.user_space import UserSpaceRoute


def test_answers_through_one_replica(rig: Rig) -> None:
    url = rig.serve(rig.track(1))
    answer, body = get(url, "/", "POST", b"hello")
    assert answer.status == 200
    assert answer.headers["x-mlops-version"] == "1"
    assert answer.headers["x-mlops-track"] == "stable"
    assert json.loads(body)["method"] == "POST"


def test_the_split_is_by_request_and_exact(rig: Rig) -> None:
    url = rig.serve(rig.track(1))
    canary = rig.track(2)
    rig.route.update(lambda state: start_canary(state, canary, 1_000))
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    seen = []
    with contextlib.closing(connection):
        for _ in range(50):
            connection.request("GET", "/")
            answer = connection.getresponse()
            answer.read()
            seen.append((answer.headers["x-mlops-track"], answer.headers["x-mlops-version"]))
    assert seen.count(("canary", "2")) in (4, 5, 6)
    assert len(set(seen)) == 2


def test_nothing_fails_across_canary_promote_rollback_and_swap(rig: Rig) -> None:
    url = rig.serve(rig.track(1))
    tracks = {version: rig.track(version) for version in (2, 3, 4)}
    with traffic(url, ask_get()) as load:
        load.wait_for(200)
        rig.route.update(lambda state: start_canary(state, tracks[2], 2_500))
        load.wait_for(300)
        old = rig.route.state().stable
        rig.route.update(promote)
        assert rig.route.drained(old.endpoints, 20)
        rig.by_id["1-0"].terminate()
        rig.route.update(settle)
        before = load.by_version()["1"]
        load.wait_for(300)
        assert load.by_version()["1"] <= before + load.clients  # answers that were on their way
        rig.route.update(lambda state: start_canary(state, tracks[3], 5_000))
        load.wait_for(200)
        rig.route.update(lambda state: roll_back(state, decided_ns=time.time_ns()))
        assert rig.route.drained(tracks[3].endpoints, 20)
        rig.by_id["3-0"].terminate()
        rig.route.update(settle)
        load.wait_for(200)
        rig.route.update(lambda state: swap(state, tracks[4]))
        assert rig.route.drained(tracks[2].endpoints, 20)
        rig.by_id["2-0"].terminate()
        load.wait_for(200)
    assert load.failures == []
    assert set(load.by_version()) == {"1", "2", "3", "4"}


def test_a_killed_replica_loses_no_request_while_another_lives(rig: Rig) -> None:
    track = rig.track(1, replicas=2)
    url = rig.serve(track)
    with traffic(url, ask_get("/slow?0.01")) as load:
        load.wait_for(200)
        rig.by_id["1-0"].kill()
        load.wait_for(300)
    assert load.failures == []
    stats = rig.route.stats()
    assert stats is not None
    assert stats.unanswered == 0


def test_an_answer_that_breaks_off_is_asked_for_again(rig: Rig) -> None:
    url = rig.serve(rig.track(1, replicas=3))
    assert get(url, "/early")[0].status == 503  # each in turn died in the middle of its answer's head
    assert [rig.by_id[f"1-{n}"].wait(10) for n in range(3)] == [1, 1, 1]
    stats = rig.route.stats()
    assert stats is not None
    assert stats.tracks["stable"].retries == 3


def test_no_replica_alive_gives_503_and_when_to_retry(rig: Rig) -> None:
    url = rig.serve(rig.track(1))
    rig.by_id["1-0"].kill()
    rig.by_id["1-0"].wait(10)
    answer, body = get(url)
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert b"no replica is alive" in body
    stats = rig.route.stats()
    assert stats is not None
    assert stats.unanswered == 1


def test_a_full_replica_is_passed_over(rig: Rig) -> None:
    url = rig.serve(rig.track(1))
    assert get(url, "/full")[0].status == 503
    rig.route.update(lambda state: start_canary(state, rig.track(2), 5_000))
    answer, _ = get(url, "/full")
    assert answer.status == 503  # both are full


def test_a_canary_that_fails_loses_its_traffic(rig: Rig) -> None:
    url = rig.serve(rig.track(1), state=RouteState(budget=Budget(breaches=8)))
    rig.route.update(lambda state: start_canary(state, rig.track(2), 10_000))
    failed = [get(url, "/fail")[0] for _ in range(8)]
    assert [answer.status for answer in failed] == [500] * 8
    assert get(url)[0].headers["x-mlops-version"] == "1"  # the very next request
    wait_until(lambda: rig.route.state().phase == "rolled-back")
    state = rig.route.state()
    (record,) = state.rollbacks
    assert (record.version, record.by, record.reason) == (2, "sentinel", "errors")
    assert (record.observed, record.stable, record.budget, record.window) == (8, 0, 8, 64)
    assert state.draining is not None
    assert state.draining.version == 2


def test_errors_on_both_tracks_do_not_convict_the_canary(rig: Rig) -> None:
    url = rig.serve(rig.track(1))
    rig.route.update(lambda state: start_canary(state, rig.track(2), 5_000))
    for _ in range(60):
        get(url, "/fail")
    assert rig.route.state().phase == "canary"


def test_counters(rig: Rig) -> None:
    url = rig.serve(rig.track(1))
    for path in ["/"] * 7 + ["/fail"] * 3:
        get(url, path)
    stats = rig.route.stats()
    assert stats is not None
    assert stats.implementation == "user-space proxy"
    assert stats.generation == rig.route.state().generation
    stable = stats.tracks["stable"]
    assert (stable.requests, stable.errors, stable.retries) == (10, 3, 0)
    assert stable.p50_ms is not None
    assert stable.p99_ms is not None
    assert 0 < stable.p50_ms <= stable.p99_ms


def test_sigterm_finishes_what_is_in_flight(rig: Rig) -> None:
    url = rig.serve(rig.track(1))
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(b"GET /slow?0.5 HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: bool((rig.route.stats() or pytest.fail("gone")).in_flight))
        rig.route.stop(rig.halt)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK")
    assert not rig.route.alive()


def test_an_occupied_port_is_named(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        rig.route = UserSpaceRoute(rig.folder / "second", port=port)
        rig.route.start(rig.launch)
        with pytest.raises(PortInUse, match=f"port {port} is taken by another process"):
            rig.route.wait_ready(30)


def test_a_restarted_proxy_has_the_same_address(rig: Rig) -> None:
    url = rig.serve(rig.track(1))
    rig.processes[-1].kill()
    rig.processes[-1].wait(10)
    assert not rig.route.alive()
    assert rig.route.stats() is None
    rig.route.start(rig.launch)
    assert rig.route.wait_ready(30) == url
    assert get(url)[0].status == 200


def test_an_address_that_cannot_be_had_says_what_to_type_next() -> None:
    with pytest.raises(ServeError, match="cannot listen") as caught:
        listen("192.0.2.1", 8080)  # nobody's: RFC 5737
    assert caught.value.fix == "leave --port out, and a free one is taken"
    refused = cannot_listen(PermissionError(errno.EACCES, "Permission denied"), "127.0.0.1", 1)
    assert refused.fix == "choose a --port above 1023, or none: the system keeps 1 for root"
