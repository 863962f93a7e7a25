"""The route in the kernel: connections to real replicas, counted."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import struct
import time

import pytest

from tests.route.behind_kernel import (
    asking,
    begin,
    eventually,
    in_flight,
    track,
    versions,
)
from tests.route.conftest import Rig
from workbench.route.kernel.route import KernelRoute
from workbench.route.state import (
    RouteState,
    promote,
    roll_back,
    settle,
    start_canary,
    with_endpoints,
)

pytestmark = pytest.mark.bpf


def test_connections_are_split_exactly_and_promoted(rig: Rig, kernel: KernelRoute) -> None:
    url = begin(kernel, rig, track(rig, 1, 2))
    assert versions(url, 20) == {"1": 20}
    canary = track(rig, 2)
    kernel.update(lambda now: start_canary(now, canary, 2_500))
    seen = versions(url, 100)
    assert abs(seen["2"] - 25) < 6
    stats = kernel.stats()
    assert stats is not None
    assert stats.implementation == "kernel (sk_lookup)"
    assert stats.tracks["canary"].requests == seen["2"]
    assert stats.tracks["stable"].requests == 20 + seen["1"]
    assert stats.tracks["stable"].p50_ms
    after = kernel.update(promote)
    assert after.draining is not None
    assert versions(url, 20) == {"2": 20}
    assert kernel.drained(after.draining.endpoints, 10)
    kernel.update(settle)


def test_ipv6_meets_the_same_replicas(rig: Rig, kernel: KernelRoute) -> None:
    url = begin(kernel, rig, track(rig, 1))
    assert versions(url, 5) == {"1": 5}
    assert versions(url, 5, "::1") == {"1": 5}
    canary = track(rig, 2)
    kernel.update(lambda now: start_canary(now, canary, 5_000))
    seen = versions(url, 40, "::1")
    assert abs(seen["2"] - 20) < 6
    stats = kernel.stats()
    assert stats is not None
    assert stats.tracks["canary"].requests == seen["2"]


def test_the_split_and_the_rollback_need_no_process_of_ours(rig: Rig, kernel: KernelRoute) -> None:
    url = begin(kernel, rig, track(rig, 1))
    canary = track(rig, 2)
    kernel.update(lambda now: start_canary(now, canary, 5_000))
    router = rig.processes[[p.args[-1] for p in rig.processes].index(str(kernel.folder))]  # type: ignore[index]
    router.kill()
    router.wait(10)
    assert set(versions(url, 30)) == {"1", "2"}
    for _ in range(60):
        line = http.client.HTTPConnection("127.0.0.1", int(url.rpartition(":")[2]), timeout=10)
        line.request("GET", "/fail")
        line.getresponse().read()
        line.close()
        if set(versions(url, 4)) == {"1"}:
            break
    os.kill(canary.endpoints[0].pid, signal.SIGKILL)
    time.sleep(0.2)  # it dies; whoever connects within that moment is reset
    assert versions(url, 30) == {"1": 30}
    state = kernel.state()  # a new router finds what is pinned
    assert state.phase == "rolled-back"
    (record,) = state.rollbacks
    assert (record.version, record.by) == (2, "sentinel")
    assert record.flip_ns >= record.breach_ns > 0


def test_a_client_that_resets_its_connection_leaves_no_count_behind(rig: Rig, kernel: KernelRoute) -> None:
    one = track(rig, 1)
    begin(kernel, rig, one)
    for line in asking(int(kernel.url().rpartition(":")[2]), 3):
        eventually(lambda: in_flight(kernel))
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.close()  # a reset, not an orderly end
    assert kernel.drained(one.endpoints, 30)
    assert in_flight(kernel) == []


def test_clients_who_waited_for_a_dead_replica_leave_no_count_behind(rig: Rig, kernel: KernelRoute) -> None:
    """Who is answered by the next process is counted out of the place that was counted in."""
    begin(kernel, rig, track(rig, 1))
    first = rig.by_id["1-0"]
    first.send_signal(signal.SIGSTOP)
    waiting = asking(int(kernel.url().rpartition(":")[2]), 3)
    eventually(lambda: in_flight(kernel) == [3])
    first.kill()
    first.wait(10)
    words, inherited = kernel.prepare("1-0").handles
    os.close(words)
    after = track(rig, 1)
    kernel.update(lambda now: with_endpoints(now, 1, after.endpoints))
    with socket.socket(fileno=inherited) as listener:
        for line in waiting:
            listener.accept()[0].close()
            line.close()
    assert versions(kernel.url(), 2) == {"1": 2}
    assert kernel.drained(after.endpoints, 30)
    assert in_flight(kernel) == []


def test_the_address_is_gone_after_stop(rig: Rig, kernel: KernelRoute) -> None:
    url = begin(kernel, rig, track(rig, 1))
    versions(url, 1)
    kernel.stop(rig.halt)

    def is_refused() -> bool:
        with contextlib.suppress(OSError):
            versions(url, 1)
            return False
        return True

    eventually(is_refused, 30)  # the kernel lets go of a program when nobody can run it any more


def test_a_state_for_people(rig: Rig, kernel: KernelRoute) -> None:
    begin(kernel, rig, track(rig, 1))
    canary = track(rig, 2)
    kernel.update(lambda now: start_canary(now, canary, 100))
    after = kernel.update(lambda now: roll_back(now, decided_ns=1))
    assert after.phase == "rolled-back"
    assert kernel.state() == after
    assert isinstance(after, RouteState)
