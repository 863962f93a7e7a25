"""Requests lost while versions come and go, over as many requests as there is time for; needs the kernel's route.

``MLOPS_SOAK_REQUESTS`` says how many (default 10 million, of which none may be lost), ``MLOPS_SOAK_SECONDS`` when it
ends at the latest. Replicas and clients are in C (`benchmarks/native/`): those of `staging` are Python, and ten million
would take hours. The router, the programs in the kernel and every change of a version are the real ones.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from workbench.route.kernel.machine import unavailable

from ..compiled import build
from ..harness import progress
from ..samples import Samples
from .staging import Rig, clients, finish, replace_version, serve

REQUESTS, SECONDS = "MLOPS_SOAK_REQUESTS", "MLOPS_SOAK_SECONDS"
_A_LONG_TIME_S = 48 * 3600.0


def run(samples: Samples, *, quick: bool) -> None:
    """Ask from 32 clients that keep their connections and 32 that close them until all requests are answered."""
    if reason := unavailable():
        raise RuntimeError(f"this benchmark needs the kernel's route: {reason}")
    wanted = int(os.environ.get(REQUESTS, 20_000 if quick else 10_000_000))
    seconds = float(os.environ.get(SECONDS, _A_LONG_TIME_S))
    for _ in progress(1, f"{wanted:,} requests"):
        with tempfile.TemporaryDirectory() as name:
            replica, load = (str(build(one, Path(name))) for one in ("replica", "load"))
            with Rig(replica=(replica,)) as rig:
                _soak(samples, rig, load, wanted, seconds)


def _soak(samples: Samples, rig: Rig, load: str, wanted: int, seconds: float) -> None:
    serve(rig)
    started = time.monotonic()
    process = clients(rig.port, 32, 32, seconds, wanted, load=(load,))
    version = 1
    try:
        while process.poll() is None:
            version += 1
            replace_version(rig, version, version % 3)
            time.sleep(0.2)
        seen = finish(process)
    finally:
        process.kill()
        process.wait()
    samples.add("soak.changes", version - 1)
    samples.add("soak.requests", seen["answered"])
    samples.add("soak.failed", seen["failed"])
    samples.add("soak.errors", seen["errors"])
    samples.add("soak.requests_per_s", seen["answered"] / (time.monotonic() - started))
    if seen["failed"]:
        print(seen["failures"], file=sys.stderr)
