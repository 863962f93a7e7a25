"""What the kernel's sentinel sees beyond requests: signals, forked processes, waits for a processor, growth."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.route.behind_kernel import begin, eventually, misbehave, track, versions
from tests.route.conftest import Rig
from workbench.bpf.libbpf import Library
from workbench.route.kernel.pinned import PINS, Pinned
from workbench.route.kernel.places import descendants
from workbench.route.kernel.route import KernelRoute
from workbench.route.policy import Budget
from workbench.route.state import Rollback, Track, start_canary

pytestmark = pytest.mark.bpf

SPIN = "import time\nend = time.monotonic() + 120\nwhile time.monotonic() < end: pass"


def canary(rig: Rig, route: KernelRoute, **budget: object) -> tuple[str, Track]:
    url = begin(route, rig, track(rig, 1))
    found = track(rig, 2)
    route.update(lambda now: replace(start_canary(now, found, 5_000), budget=Budget(**budget)))  # type: ignore[arg-type]
    return url, found


def verdict(route: KernelRoute) -> Rollback:
    eventually(lambda: route.state().phase == "rolled-back", 30)
    (record,) = route.state().rollbacks
    return record


@contextlib.contextmanager
def spinners(processor: int, count: int) -> Iterator[None]:
    """Keep a processor busy."""
    command = ["taskset", "-c", str(processor), sys.executable, "-S", "-c", SPIN]
    running = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for one in running:
            one.kill()
            one.wait(10)


def test_a_fault_is_seen_as_the_signal_it_is(rig: Rig, kernel: KernelRoute) -> None:
    url, guilty = canary(rig, kernel)
    with pytest.raises(OSError):
        misbehave(guilty.endpoints[0], url, "/fault")
    record = verdict(kernel)
    assert (record.reason, record.observed & 0x7F, record.pid) == (
        "crash",
        signal.SIGSEGV,
        guilty.endpoints[0].pid,
    )
    assert versions(url, 10) == {"1": 10}


def test_a_kill_is_seen_before_the_process_has_ended(rig: Rig, kernel: KernelRoute) -> None:
    _, guilty = canary(rig, kernel)
    os.kill(guilty.endpoints[0].pid, signal.SIGSTOP)
    os.kill(guilty.endpoints[0].pid, signal.SIGKILL)
    assert verdict(kernel).observed == signal.SIGKILL


def test_what_a_replica_forks_is_watched_too(rig: Rig, kernel: KernelRoute) -> None:
    url, guilty = canary(rig, kernel, syscalls=("unshare",))
    misbehave(guilty.endpoints[0], url, "/fork")
    record = verdict(kernel)
    assert (record.reason, record.pid) == ("syscall", guilty.endpoints[0].pid)


def test_the_end_of_a_forked_process_is_no_crash(rig: Rig, kernel: KernelRoute) -> None:
    url, innocent = canary(rig, kernel, syscalls=())
    misbehave(innocent.endpoints[0], url, "/fork")
    assert kernel.state().phase == "canary"
    pinned = Pinned(Library(), PINS / str(os.geteuid()) / kernel.key)
    assert len(list(pinned.processes.items())) == 2  # the forked ones have ended


def test_what_was_forked_before_is_found() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            assert child.pid in set(descendants(os.getpid()))
        finally:
            child.kill()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="stable needs a processor of its own")
def test_a_canary_that_waits_for_its_processor(rig: Rig, kernel: KernelRoute) -> None:
    url, guilty = canary(rig, kernel, breaches=4, jitter_ms=1.0, hang_ms=60_000.0, latency_ms=60_000.0)
    pid, processor = guilty.endpoints[0].pid, min(os.sched_getaffinity(0))
    os.sched_setaffinity(pid, {processor})  # threads come later and inherit it
    with spinners(processor, 2):
        misbehave(guilty.endpoints[0], url, "/burn?0.05")
        record = verdict(kernel)
    assert (record.reason, record.pid) == ("jitter", pid)


def test_the_memory_a_canary_may_take_is_learnt(rig: Rig, kernel: KernelRoute) -> None:
    url = begin(kernel, rig, track(rig, 1))
    assert versions(url, 3) == {"1": 3}
    for _ in range(10):
        grow(url)
    found = track(rig, 2)
    kernel.update(lambda now: start_canary(now, found, 5_000))
    pinned = Pinned(Library(), PINS / str(os.geteuid()) / kernel.key)
    assert pinned.control.memory_pages > (350 << 20) // 4096  # twice what stable has grown by


def grow(url: str) -> None:
    """Let a replica grow by 20 MiB."""
    line = http.client.HTTPConnection("127.0.0.1", int(url.rpartition(":")[2]), timeout=10)
    line.request("GET", "/grow?20")
    line.getresponse().read()
    line.close()
