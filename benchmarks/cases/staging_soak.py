"""Requests lost while versions come and go, over as many requests as there is time for; needs the kernel's route.

Two deployments at once. ``soak.*``: replicas and clients in C (`benchmarks/native/`), as the workbench's own are Python
and ten million requests would take them hours; the router, the programs in the kernel and every change of a version
are the real ones. ``soak.pushed.*``: a deployment with a supervisor whose versions change as users change them, by
`push`, `promote` and `rollback` (`benchmarks/changes.py`).

``MLOPS_SOAK_REQUESTS`` says how many requests (default 10 million, of which none may be lost), ``MLOPS_SOAK_SECONDS``
when it ends at the latest. Interrupted (Ctrl-C, SIGTERM) it reports what it has; every 10 s it tells that on the error
stream and writes it to ``MLOPS_SOAK_FILE``, if that is set.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.atomic import write_bytes
from workbench.route.kernel.machine import unavailable

from ..changes import Changes
from ..compiled import build
from ..samples import Samples
from .staging import Rig, clients, finish, replace_version, serve

REQUESTS, SECONDS, FILE = "MLOPS_SOAK_REQUESTS", "MLOPS_SOAK_SECONDS", "MLOPS_SOAK_FILE"
EVERY_S = 10.0
_A_LONG_TIME_S = 48 * 3600.0


def run(samples: Samples, *, quick: bool) -> None:
    """Ask from 32 clients that keep their connections and 32 that close them until all requests are answered."""
    if reason := unavailable():
        raise RuntimeError(f"this benchmark needs the kernel's route: {reason}")
    wanted = int(os.environ.get(REQUESTS, 20_000 if quick else 10_000_000))
    seconds = float(os.environ.get(SECONDS, _A_LONG_TIME_S))
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory() as name:
            replica, load = (str(build(one, Path(name))) for one in ("replica", "load"))
            pushed = Changes()
            with pushed.going_on(), Rig(replica=(replica,)) as rig:
                found = _soak(rig, load, wanted, seconds, pushed)
    finally:
        signal.signal(signal.SIGTERM, before)
    for key, value in _report(found, pushed).items():
        samples.add(key, value)
    samples.faults += [*found["failures"], *pushed.failures]


def _soak(rig: Rig, load: str, wanted: int, seconds: float, pushed: Changes) -> dict[str, Any]:
    """Change versions until the clients end; return what these saw."""
    serve(rig)
    started = told = time.monotonic()
    process = clients(rig.port, 32, 32, seconds, wanted, load=(load,))
    changes = 0
    try:
        while process.poll() is None:
            changes += 1
            replace_version(rig, changes + 1, changes % 3)
            time.sleep(0.2)
            if (now := time.monotonic()) - told >= EVERY_S and process.poll() is None:
                told = now
                seen = _ask(process) | {"changes": changes, "seconds": now - started}
                _tell(_report(seen, pushed), wanted)
    except KeyboardInterrupt:
        print("interrupted: this is what there is", file=sys.stderr, flush=True)
        process.terminate()
    except BaseException:
        process.kill()
        process.wait()
        raise
    return finish(process) | {"changes": changes, "seconds": time.monotonic() - started}


def _ask(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return what the clients have seen so far."""
    process.send_signal(signal.SIGUSR1)
    assert process.stdout is not None
    seen: dict[str, Any] = json.loads(process.stdout.readline())
    return seen


def _report(seen: Mapping[str, Any], pushed: Changes) -> dict[str, float]:
    return {
        "soak.changes": seen["changes"],
        "soak.requests": seen["answered"],
        "soak.failed": seen["failed"],
        "soak.errors": seen["errors"],
        "soak.requests_per_s": seen["answered"] / seen["seconds"],
        "soak.seconds": seen["seconds"],
        "soak.pushed.changes": pushed.made,
        "soak.pushed.requests": pushed.answered,
        "soak.pushed.failed": pushed.failed,
    }


def _tell(report: Mapping[str, float], wanted: int) -> None:
    text = ", ".join(f"{key.partition('.')[2]} {value:,.0f}" for key, value in report.items())
    print(f"[{report['soak.requests'] / wanted:.1%}] {text}", file=sys.stderr, flush=True)
    if path := os.environ.get(FILE):
        write_bytes(Path(path).absolute(), json.dumps(report).encode())
