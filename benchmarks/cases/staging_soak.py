"""Requests lost while versions come and go, over as many requests as there is time for; needs the kernel's route.

``MLOPS_SOAK_REQUESTS`` says how many (default 100,000; the goal is none lost of 10 million). Another file is
`staging`, whose replicas and clients these are.
"""

from __future__ import annotations

import os
import sys
import time

from workbench.route.kernel.machine import unavailable

from ..harness import progress
from ..samples import Samples
from .staging import Rig, clients, finish, replace_version, serve

REQUESTS = "MLOPS_SOAK_REQUESTS"
_A_LONG_TIME_S = 48 * 3600.0


def run(samples: Samples, *, quick: bool) -> None:
    """Ask from 32 clients that keep their connections and 32 that close them until all requests are answered."""
    if reason := unavailable():
        raise RuntimeError(f"this benchmark needs the kernel's route: {reason}")
    wanted = int(os.environ.get(REQUESTS, 5_000 if quick else 100_000))
    for _ in progress(1, f"{wanted:,} requests"):
        with Rig() as rig:
            _soak(samples, rig, wanted)


def _soak(samples: Samples, rig: Rig, wanted: int) -> None:
    serve(rig)
    started = time.monotonic()
    process = clients(rig.port, 32, 32, _A_LONG_TIME_S, wanted)
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
