"""Each reason to take a canary's traffic away, and what is none: real replicas that misbehave."""

from __future__ import annotations

import http.client
import os
import signal
from dataclasses import replace

import pytest

from tests.route.behind_kernel import (
    begin,
    eventually,
    misbehave,
    track,
    versions,
)
from tests.route.conftest import Rig
from tests.route.traffic import ask_get, traffic
from workbench.bpf.libbpf import Library
from workbench.route.kernel import layout
from workbench.route.kernel.pinned import PINS, Pinned
from workbench.route.kernel.route import KernelRoute
from workbench.route.policy import Budget
from workbench.route.state import (
    start_canary,
)

pytestmark = pytest.mark.bpf


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
        pinned = Pinned(Library(), PINS / str(os.geteuid()) / kernel.key)
        eventually(lambda: pinned.control.state == layout.ROLLED_BACK)
        place = pinned.control.canary * layout.PER_TRACK
        eventually(lambda: kernel.state().phase == "rolled-back")
        if how == "hang":
            os.kill(guilty, signal.SIGCONT)
        (record,) = kernel.state().rollbacks
        given = pinned.replicas[place].routed
        assert versions(url, 20) == {"1": 20}
        assert pinned.replicas[place].routed == given
    assert record.reason == how
    assert record.reason in record.evidence()
    assert record.pid == guilty
    assert record.command.startswith("python")
    assert record.flip_ns - record.breach_ns < 1_000_000
    assert how == "crash" or load.failures == []


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
