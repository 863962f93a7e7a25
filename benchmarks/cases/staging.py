"""What a route costs and how fast it takes a bad canary's traffic away; needs the kernel's route.

Replicas are small servers of the benchmark's own (`benchmarks/replica.py`), so that the figures are the route's and
not a model's. The user-space poller is given the best case: it reads the same counters from the same memory and
changes the same weight; all it lacks is to decide where the request is seen.
"""

from __future__ import annotations

import ctypes as c
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.bpf.build import load_object
from workbench.bpf.libbpf import BpfObject, Library
from workbench.route.base import Route
from workbench.route.kernel import layout
from workbench.route.kernel.machine import unavailable
from workbench.route.kernel.pinned import OBJECTS, PINS, Pinned
from workbench.route.kernel.request_route import RequestRoute
from workbench.route.kernel.route import KernelRoute
from workbench.route.policy import Budget
from workbench.route.state import Endpoint, RouteState, Track, promote, roll_back, settle, start_canary, swap
from workbench.route.user_space import UserSpaceRoute
from workbench.staging import processes

from .. import pushes
from ..harness import progress
from ..samples import Samples

REPLICA = (sys.executable, "-m", "benchmarks.replica")
LOAD = (sys.executable, "-m", "benchmarks.load")

KERNEL = {"kernel": KernelRoute, "sockmap": RequestRoute}
"""Split by connection, and by request."""

POLL_S = 1.0
DRAIN_S = 10.0
HANG_MS = 50.0
FLIPS = 1000


class OutcomeCase(c.Structure):
    """One outcome for the program that only tests and benchmarks run."""

    _fields_ = (("metric", c.c_uint32), ("canary", c.c_uint32), ("bad", c.c_uint32), ("state", c.c_uint32))


def run(samples: Samples, *, quick: bool) -> None:
    """Measure; 1 round when quick, else 5."""
    if reason := unavailable():
        raise RuntimeError(f"this benchmark needs the kernel's route: {reason}")
    _flips(samples, 50 if quick else FLIPS)
    pushes.measure(samples, 1 if quick else 5)
    for number in progress(1 if quick else 5, "crash, hang, errors, poller, swap, overhead"):
        for trigger in ("crash", "hang", "errors", "poller"):
            with Rig() as rig:
                _trigger(samples, rig, trigger)
        for trigger in ("crash", "hang"):
            with Rig("sockmap") as rig:
                _trigger(samples, rig, trigger, "by_request.")
        for kind, mark in (("kernel", ""), ("sockmap", "by_request.")):
            with Rig(kind) as rig:
                _swaps(samples, rig, 3 if quick else 10, seconds=3.0 if quick else 12.0, mark=mark)
        _overhead(samples, 0.5 if quick else 2.0, turn=number)
    samples.ratio("errors.poller_over_kernel", "poller.to_flip_ms", "errors.to_flip_ms")
    for kind in ("keep", "close"):
        for route in ("kernel", "proxy"):
            samples.ratio(f"{kind}.{route}_over_direct", f"{kind}.{route}_us", f"{kind}.direct_us")


class Rig:
    """A kernel route with replicas, all gone at the end."""

    def __init__(self, kind: str = "kernel", replica: Sequence[str] = REPLICA) -> None:
        self._replica = replica
        self.folder = tempfile.TemporaryDirectory()
        self._replicas: list[subprocess.Popen[str]] = []
        self._launched: list[str] = []
        folder = Path(self.folder.name) / "bench" / "route"
        self.route: Route = UserSpaceRoute(folder) if kind == "proxy" else KERNEL[kind](folder, self._launch)
        self.route.start(self._launch)
        self.port = int(self.route.wait_ready(30).rpartition(":")[2])

    def _launch(self, command: Any, log: Path) -> str:
        self._launched.append(processes.start_detached(command, log))
        return self._launched[-1]

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *_: object) -> None:
        self.route.stop(lambda who: processes.stop(who, grace_s=5))
        for replica in self._replicas:
            replica.kill()
            replica.communicate()
        processes.stop_all(self._launched, grace_s=0)
        self.folder.cleanup()

    def track(self, version: int) -> Track:
        """Start a replica of a version and return it as a track."""
        given = self.route.prepare(f"{version}-0")
        command = [*self._replica, str(version)]
        handles = given.handles if given else ()
        if given is not None:
            command.append(f"{given.handles[0]}:{given.word}")
        one = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, pass_fds=handles, process_group=0
        )  # a group of its own, as its clients: Ctrl-C is for who measures
        for handle in handles:
            os.close(handle)
        self._replicas.append(one)
        assert one.stdout is not None
        return Track(version, (Endpoint(f"{version}-0", "127.0.0.1", int(one.stdout.readline()), one.pid),))

    def begin(self, weight: int = 5_000, budget: Budget | None = None) -> Track:
        """Serve version 1, with version 2 as a canary; return the canary."""
        stable, canary = self.track(1), self.track(2)
        self.route.update(lambda now: swap(now, stable))
        self.route.update(lambda now: start_canary(now, canary, weight, budget or Budget()))
        return canary


def load(port: int, keep: int, close: int, seconds: float) -> dict[str, Any]:
    """Run clients to their end and return what they saw."""
    return finish(clients(port, keep, close, seconds))


def clients(
    port: int, keep: int, close: int, seconds: float, most: float = math.inf, load: Sequence[str] = LOAD
) -> subprocess.Popen[str]:
    """Start clients in a process of their own; they end after so many seconds, or so many requests."""
    command = [*load, *map(str, (port, keep, close, seconds, most))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for clients and return what they saw."""
    text, _ = process.communicate(timeout=120)
    if process.returncode:
        raise RuntimeError(f"the clients ended with {process.returncode}: {process.args!r}")
    seen: dict[str, Any] = json.loads(text.splitlines()[-1])  # before it: what they were asked meanwhile
    return seen


def _flips(samples: Samples, count: int) -> None:
    """Time from the breach seen to the traffic gone, in the program itself."""
    split = BpfObject(Library(), "split", load_object("split", OBJECTS), {})
    try:
        table = split.map("control")
        for _ in range(count):
            table.set(bytes(4), bytes(layout.Control(state=layout.ACTIVE, weight=5_000, breaches=1)))
            split.run("try_observe", OutcomeCase(0, 1, 1, 0))
            audit = layout.Control.from_buffer_copy(table.get(bytes(4)) or b"").audit
            samples.add("flip.us", (audit.flip_ns - audit.breach_ns) / 1e3)
    finally:
        split.close()
    samples.add("flip.worst_us", max(samples.values("flip.us")))


def _trigger(samples: Samples, rig: Rig, trigger: str, mark: str = "") -> None:
    canary = rig.begin(budget=Budget(hang_ms=HANG_MS, latency_ms=1e6))
    if trigger == "poller":
        _blind(rig)
    process = clients(rig.port, 0, 8, 4.0)
    time.sleep(1.0)
    pid, fault_ns = canary.endpoints[0].pid, time.monotonic_ns()
    os.kill(pid, {"crash": signal.SIGKILL, "hang": signal.SIGSTOP}.get(trigger, signal.SIGUSR1))
    flip_ns = _poll(rig) if trigger == "poller" else _wait_flip(rig.route)
    if trigger == "hang":
        os.kill(pid, signal.SIGCONT)
    seen = finish(process)
    took_ms = (flip_ns - fault_ns) / 1e6
    if trigger == "hang":
        samples.add(f"{mark}hang.beyond_budget_ms", took_ms - HANG_MS)
    else:
        samples.add(f"{mark}{trigger}.to_flip_ms", took_ms)
    samples.add(f"{mark}{trigger}.bad_requests", seen["errors"] + seen["failed"])


def _wait_flip(route: Route) -> int:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        state = route.state()
        if state.phase == "rolled-back":
            return state.rollbacks[-1].flip_ns
        time.sleep(0.05)
    raise RuntimeError("the sentinel did not decide in 10 s")


def _blind(rig: Rig) -> None:
    """Set a budget that no window can reach, so that the kernel leaves the decision to the poller."""
    assert isinstance(rig.route, KernelRoute)
    Pinned(Library(), PINS / str(os.geteuid()) / rig.route.key).control.breaches = 1_000


def _poll(rig: Rig) -> int:
    """Decide as a controller does that scrapes once a second; return when the weight was changed."""
    before = 0
    while True:
        time.sleep(POLL_S)
        stats = rig.route.stats()
        errors = stats.tracks["canary"].errors if stats else 0
        if errors - before >= 8:
            rig.route.update(_asked)
            return time.monotonic_ns()
        before = errors


def _swaps(samples: Samples, rig: Rig, count: int, *, seconds: float, mark: str = "") -> None:
    """Swap, promote and roll back under 32 clients that keep and 32 that close their connections."""
    serve(rig)
    process = clients(rig.port, 32, 32, seconds)
    time.sleep(0.5)
    for version in range(2, 2 + count):
        if process.poll() is not None:
            break
        replace_version(rig, version, version % 3)
        samples.add(f"{mark}swap.changes", 1)
    seen = finish(process)
    samples.add(f"{mark}swap.requests", seen["answered"])
    samples.add(f"{mark}swap.failed", seen["failed"])
    if seen["failed"]:
        samples.faults.append(f"{mark}swap lost {seen['failed']} of {seen['answered']}: {seen['failures']}")


def replace_version(rig: Rig, version: int, how: int) -> None:
    """Bring a version in: by a swap, by a canary that is promoted, or by one that is rolled back."""
    new = rig.track(version)
    if how == 0:
        after = rig.route.update(lambda now: swap(now, new))
    else:
        rig.route.update(lambda now: start_canary(now, new, 5_000, Budget(breaches=64, latency_ms=1e6)))
        time.sleep(0.2)
        after = rig.route.update(promote if how == 1 else _asked)
    retire(rig, after)


def serve(rig: Rig) -> None:
    """Serve version 1 alone."""
    one = rig.track(1)
    rig.route.update(lambda now: swap(now, one))


def _asked(state: RouteState) -> RouteState:
    return roll_back(state, decided_ns=time.time_ns())


def retire(rig: Rig, state: RouteState) -> None:
    """End the replicas of a version that gets no traffic any more."""
    assert state.draining is not None
    if not rig.route.drained(state.draining.endpoints, DRAIN_S):
        print("not drained:", *rig.route.busy(state.draining.endpoints), sep="\n", file=sys.stderr)
    for one in state.draining.endpoints:
        os.kill(one.pid, signal.SIGTERM)
    rig.route.update(settle)


def _overhead(samples: Samples, seconds: float, *, turn: int) -> None:
    """Time requests straight to a replica, through the kernel's route and through the proxy."""
    with Rig() as kernel, Rig("proxy") as proxy:
        for rig in (kernel, proxy):
            serve(rig)
        state = kernel.route.state()
        assert state.stable is not None
        ports = {"direct": state.stable.endpoints[0].port, "kernel": kernel.port, "proxy": proxy.port}
        names = list(ports)
        for name in names[turn % 3 :] + names[: turn % 3]:
            samples.add(f"keep.{name}_us", load(ports[name], 1, 0, seconds)["p50_us"])
            samples.add(f"close.{name}_us", load(ports[name], 0, 1, seconds)["p50_us"])
