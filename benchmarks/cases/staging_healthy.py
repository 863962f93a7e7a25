"""Canaries that do nothing wrong on a machine that has too much to do: how many lose their traffic all the same.

Every processor gets two loops that never wait beside the replicas and their clients. A canary of the same program as
the stable version gets half of the traffic and the budgets a push without ``--slo`` sets, learnt as the supervisor
does; it is promoted once it has answered 200 requests and a third of a second has passed. Replicas and clients are in C
(`benchmarks/native/`), so that 200 runs take minutes.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from workbench.route.kernel.machine import unavailable
from workbench.route.policy import Budget
from workbench.route.state import promote, start_canary

from ..compiled import build
from ..harness import progress
from ..samples import Samples
from .staging import Rig, clients, finish, retire, serve

RUNS = 200
REQUESTS = 200
_LEAST_S = 0.33
_SPIN = "while True: pass"
_A_LONG_TIME_S = 24 * 3600.0
_PATIENCE_S = 300.0


def run(samples: Samples, *, quick: bool) -> None:
    """Promote healthy canaries, 3 when quick, else 200."""
    if reason := unavailable():
        raise RuntimeError(f"this benchmark needs the kernel's route: {reason}")
    with tempfile.TemporaryDirectory() as name:
        replica, load = (str(build(one, Path(name))) for one in ("replica", "load"))
        with Rig(replica=(replica,)) as rig, _oversubscribed():
            _runs(samples, rig, load, 3 if quick else RUNS)
    samples.add("healthy.rollbacks_in_all", sum(samples.values("healthy.false_rollbacks")))
    samples.add("healthy.runs", len(samples.values("healthy.false_rollbacks")))


def _runs(samples: Samples, rig: Rig, load: str, count: int) -> None:
    serve(rig)
    process = clients(rig.port, 8, 8, _A_LONG_TIME_S, load=(load,))
    try:
        for number in progress(count, "healthy canaries"):
            samples.add("healthy.false_rollbacks", _canary(rig, number + 2))
        process.terminate()
        samples.add("healthy.failed", finish(process)["failed"])
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _oversubscribed() -> Iterator[None]:
    count = 2 * len(os.sched_getaffinity(0))
    loops = [subprocess.Popen([sys.executable, "-S", "-c", _SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for one in loops:
            one.kill()
            one.wait()


def _canary(rig: Rig, version: int) -> float:
    """Return 1 if a canary was rolled back, 0 if it answered all its requests."""
    new = rig.track(version)
    rig.route.update(lambda now: start_canary(now, new, 5_000, Budget()))
    since = time.monotonic()
    while rig.route.state().phase == "canary":
        stats = rig.route.stats()
        passed = time.monotonic() - since
        if stats is not None and stats.tracks["canary"].requests >= REQUESTS and passed > _LEAST_S:
            retire(rig, rig.route.update(promote))
            return 0.0
        if passed > _PATIENCE_S:
            raise RuntimeError(f"version {version} got no {REQUESTS} requests in {_PATIENCE_S:.0f} s")
        rig.route.refresh()
        time.sleep(0.1)
    state = rig.route.state()
    print(state.rollbacks[-1].evidence(), file=sys.stderr)
    retire(rig, state)
    return 1.0
