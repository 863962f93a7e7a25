"""The route in the kernel: the policy's vectors by test runs, then real connections to real replicas."""

from __future__ import annotations

import contextlib
import ctypes as c
import http.client
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.route.conftest import ROOT, Rig
from tests.route.test_policy import VECTORS
from tests.route.traffic import ask_get, traffic
from workbench.bpf.build import load_object
from workbench.bpf.libbpf import BpfObject, Library
from workbench.bpf.sockets import dial
from workbench.errors import BadRequest, PortInUse, StagingError
from workbench.route.kernel import layout, listeners
from workbench.route.kernel.pinned import OBJECTS, PINS, SHARED
from workbench.route.kernel.route import KernelRoute, remove_pins
from workbench.route.kernel.sweep import sweep
from workbench.route.policy import Budget
from workbench.route.state import (
    Endpoint,
    RouteState,
    Track,
    promote,
    roll_back,
    settle,
    start_canary,
    swap,
    with_endpoints,
)

pytestmark = pytest.mark.bpf


class PickCase(c.Structure):
    _fields_ = (("ticket", c.c_uint32), ("weight", c.c_uint32), ("canary", c.c_uint32))


class OutcomeCase(c.Structure):
    _fields_ = (("metric", c.c_uint32), ("canary", c.c_uint32), ("bad", c.c_uint32), ("state", c.c_uint32))


@pytest.fixture(scope="module")
def split() -> Iterator[BpfObject]:
    loaded = BpfObject(Library(), "split", load_object("split", OBJECTS), {})
    yield loaded
    loaded.close()


@pytest.mark.parametrize("case", VECTORS["split"], ids=lambda case: f"{case['first']}-{case['weight']}")
def test_split_vectors(split: BpfObject, case: dict[str, Any]) -> None:
    picked = []
    for n in range(case["count"]):
        one = PickCase((case["first"] + n) % 2**32, case["weight"], 9)
        assert split.run("try_pick", one) == 0
        picked += [n] * one.canary
    assert picked == case["canary"]


@pytest.mark.parametrize("metric", range(len(layout.METRICS)), ids=layout.METRICS)
@pytest.mark.parametrize("case", VECTORS["sentinel"], ids=lambda case: case["name"])
def test_sentinel_vectors(split: BpfObject, case: dict[str, Any], metric: int) -> None:
    table = split.map("control")
    control = layout.Control(state=layout.ACTIVE, weight=5_000, breaches=case["breaches"])
    table.set(bytes(4), bytes(control))
    found = None
    for at, letter in enumerate(case["outcomes"]):
        one = OutcomeCase(metric, letter in "cC", letter.isupper(), 0)
        assert split.run("try_observe", one) == 0
        if one.state == layout.ROLLED_BACK:
            after = layout.Control.from_buffer_copy(table.get(bytes(4)) or b"")
            found = {"at": at, "observed": after.audit.observed, "stable": after.audit.stable}
            assert layout.REASONS[after.audit.reason] == layout.METRICS[metric]
            assert after.audit.flip_ns >= after.audit.breach_ns > 0
            break
    assert found == case["verdict"]


def test_the_structures_are_those_of_the_programs(split: BpfObject) -> None:
    for name, shape in (("control", layout.Control), ("replicas", layout.Replica)):
        assert split.map(name).value_size == c.sizeof(shape)
    assert set(SHARED) >= {"control", "replicas", "drains"}


def begin(route: KernelRoute, rig: Rig, track: Track) -> str:
    route.start(rig.launch)
    route.update(lambda now: swap(now, track))
    return route.wait_ready(30)


def endpoint(rig: Rig, version: int, number: int = 0, *options: str) -> Endpoint:
    one = rig.replica(version, number, "dual", *options)
    return replace(one, pid=rig.by_id[one.id].pid)


def track(rig: Rig, version: int, replicas: int = 1) -> Track:
    return Track(version, tuple(endpoint(rig, version, n) for n in range(replicas)))


def versions(url: str, count: int, host: str = "127.0.0.1") -> Counter[str]:
    seen: Counter[str] = Counter()
    for _ in range(count):
        line = http.client.HTTPConnection(host, int(url.rpartition(":")[2]), timeout=10)
        line.request("GET", "/")
        answer = line.getresponse()
        answer.read()
        seen[answer.headers["x-mlops-version"]] += 1
        line.close()
    return seen


def eventually(found: Any, timeout_s: float = 10) -> Any:
    until = time.monotonic() + timeout_s
    while not (value := found()):
        assert time.monotonic() < until
        time.sleep(0.01)
    return value


def test_an_installation_in_a_closed_home_folder(rig: Rig, kernel: KernelRoute, tmp_path: Path) -> None:
    """The router becomes a user who may read nothing there, so whatever it needs it reads before that."""
    home = tmp_path / "home"
    shutil.copytree(ROOT / "workbench", home / "workbench", ignore=shutil.ignore_patterns("__pycache__"))
    home.chmod(0o700)

    there = ["env", "-C", str(home), f"PYTHONPATH={home}"]
    kernel.start(lambda command, log: rig.launch([*there, *command], log))
    one = track(rig, 1)
    kernel.update(lambda now: swap(now, one))
    assert versions(kernel.wait_ready(30), 5) == {"1": 5}


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


@pytest.mark.parametrize("how", ["errors", "crash", "hang", "latency", "memory", "syscall"])
def test_each_trigger_takes_the_canary_out(rig: Rig, kernel: KernelRoute, how: str) -> None:
    url = begin(kernel, rig, track(rig, 1))
    canary = track(rig, 2)
    budget = Budget(
        breaches=4,
        latency_ms=20.0 if how == "latency" else None,
        memory_bytes=64 << 20,
        hang_ms=100.0 if how == "hang" else None,
    )
    kernel.update(lambda now: replace(start_canary(now, canary, 5_000), budget=budget))
    paths = {"errors": "/fail", "latency": "/slow?0.05", "memory": "/grow?20", "syscall": "/unshare"}
    path = paths.get(how, "/")
    guilty = canary.endpoints[0].pid
    with traffic(url, ask_get("/"), clients=2, pause_s=0.05) as load:
        load.wait_for(20)
        if how in ("crash", "hang"):
            os.kill(guilty, signal.SIGKILL if how == "crash" else signal.SIGSTOP)
        else:
            misbehave(canary.endpoints[0], url, path)
        eventually(lambda: kernel.state().phase == "rolled-back")
        if how == "hang":
            os.kill(guilty, signal.SIGCONT)
        (record,) = kernel.state().rollbacks
        assert versions(url, 20) == {"1": 20}
        assert kernel._reading(kernel.state())["late"] == 0
    assert record.reason == how
    assert record.reason in record.evidence()
    assert record.pid == guilty
    assert record.command.startswith("python")
    assert record.flip_ns - record.breach_ns < 1_000_000
    assert how == "crash" or load.failures == []


def misbehave(one: Endpoint, url: str, path: str) -> None:
    """Ask for something bad until the canary has had its fill; stable gets none of it."""
    for _ in range(200):
        line = http.client.HTTPConnection("127.0.0.1", int(url.rpartition(":")[2]), timeout=10)
        line.connect()
        line.request("GET", "/")
        answer = line.getresponse()
        answer.read()
        if answer.headers["x-mlops-version"] == "2":
            for _ in range(6):
                line.request("GET", path)
                line.getresponse().read()
            line.close()
            return
        line.close()
    raise AssertionError(f"{one} was never asked")


def test_noise_on_both_tracks_convicts_nobody(rig: Rig, kernel: KernelRoute) -> None:
    url = begin(kernel, rig, track(rig, 1))
    canary = track(rig, 2)
    kernel.update(lambda now: start_canary(now, canary, 5_000))
    for _ in range(60):
        line = http.client.HTTPConnection("127.0.0.1", int(url.rpartition(":")[2]), timeout=10)
        line.request("GET", "/fail")
        line.getresponse().read()
        line.close()
    assert kernel.state().phase == "canary"
    stats = kernel.stats()
    assert stats is not None
    assert stats.tracks["canary"].errors + stats.tracks["stable"].errors == 60


def test_a_late_weight_does_not_revive_a_canary_the_kernel_rolled_back(rig: Rig, kernel: KernelRoute) -> None:
    url = begin(kernel, rig, track(rig, 1))
    canary = track(rig, 2)
    state = kernel.update(lambda now: start_canary(now, canary, 5_000))
    os.kill(canary.endpoints[0].pid, signal.SIGKILL)
    eventually(lambda: kernel._reading(state)["version"] == 2)
    kernel._apply(replace(state, weight=10_000, generation=state.generation + 1))
    assert versions(url, 30) == {"1": 30}


def test_a_port_of_another_process_is_named(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        route = KernelRoute(rig.folder / "x" / "route", rig.launch, port=stranger.getsockname()[1])
        route.start(rig.launch)
        with pytest.raises(PortInUse, match="taken by another process"):
            route.wait_ready(30)
    remove_pins(route.folder)


def in_flight(kernel: KernelRoute) -> list[int]:
    reading = kernel.stats()
    assert reading is not None
    return list(reading.in_flight.values())


def asking(port: int, count: int) -> list[socket.socket]:
    lines = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for line in lines:
        line.sendall(b"GET /slow?0.5 HTTP/1.1\r\nHost: x\r\n\r\n")
    return lines


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


def test_the_router_is_left_with_its_three_rights(rig: Rig, kernel: KernelRoute) -> None:
    begin(kernel, rig, track(rig, 1))
    pid = json.loads((kernel.folder / "router.json").read_text())["owner"].partition(":")[0]
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(fields["CapEff"], 16) == 1 << 12 | 1 << 38 | 1 << 39
    assert fields["Uid"].split() == ["65534"] * 4
    assert fields["NoNewPrivs"] == "1"


def test_a_listener_that_is_not_there(rig: Rig) -> None:
    one = endpoint(rig, 1)
    with pytest.raises(StagingError, match="does not listen"), listeners.listener_of(one.pid, 1):
        pass
    with pytest.raises(StagingError, match="does not listen"), listeners.listener_of(2**22 - 1, 80):
        pass


def test_the_router_watches_no_stranger(rig: Rig, kernel: KernelRoute) -> None:
    begin(kernel, rig, track(rig, 1))
    with subprocess.Popen(["sleep", "60"], user=65534, group=65534, extra_groups=[]) as stranger:
        try:
            other = Track(2, (Endpoint("2-0", "127.0.0.1", 1, stranger.pid),))
            with pytest.raises(BadRequest, match="is not user 0's"):
                kernel.update(lambda now: start_canary(now, other, 5_000))
            assert kernel.state().phase == "stable"  # as it was before
        finally:
            stranger.kill()


@pytest.mark.parametrize(
    "text", [b"{}", b"[]", b"x", b'{"key": "../..", "do": "open"}', b'{"key": "a", "do": "read"}']
)
def test_the_router_answers_nonsense_and_lives(rig: Rig, kernel: KernelRoute, text: bytes) -> None:
    url = begin(kernel, rig, track(rig, 1))
    with dial(str(kernel.folder / "router.sock")) as line:
        line.send(text)
        assert b"error" in line.recv(4096)
    assert kernel.alive()
    assert versions(url, 1) == {"1": 1}


def test_a_state_for_people(rig: Rig, kernel: KernelRoute) -> None:
    begin(kernel, rig, track(rig, 1))
    canary = track(rig, 2)
    kernel.update(lambda now: start_canary(now, canary, 100))
    after = kernel.update(lambda now: roll_back(now, decided_ns=1))
    assert after.phase == "rolled-back"
    assert kernel.state() == after
    assert isinstance(after, RouteState)


def test_a_sweep_takes_the_dead_and_leaves_the_living(rig: Rig, kernel: KernelRoute) -> None:
    url = begin(kernel, rig, track(rig, 1))
    pins = PINS / str(os.geteuid()) / kernel.key
    sweep(grace_s=0)
    assert versions(url, 2) == {"1": 2}
    for process in rig.processes:
        process.kill()
        process.wait(10)
    sweep()
    assert pins.exists()  # it is young
    assert sweep(grace_s=0) >= 1
    assert not pins.exists()
