"""One replica: a process that loads one model, warms it up, says that it is ready and serves it.

::

    python -m workbench.serve.replica --model minilm --version 3 --bundle FOLDER --ready-file FILE
        [--host 127.0.0.1] [--port 0] [--track stable|canary] [--state-file FILE] [--threads 1]
        [--loader workbench.compile:load] [--workers 1] [--queue 64] [--max-body-mib 64] [--grace-s 30]

Contract with whoever starts it:

* the *ready file* appears, whole, once a real inference has succeeded and connections are accepted:
  ``{"pid", "port", "host", "model", "version", "track", "started_ns", "warm_up_ms"}``
  (``started_ns``: wall clock when the process began);
* a replica that cannot start writes the error's JSON to ``<ready file>.error``, its text to standard error,
  and exits with 1;
* the *state file* is text; while it says ``draining``, every answer carries ``Connection: close``;
* SIGTERM and SIGINT: answer what is in flight, then exit with 0; with 1 if that took longer than the grace.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Never

from .. import atomic
from ..errors import InputError, MissingInput, WorkbenchError
from . import logs
from .bundle import DEFAULT_LOADER
from .listener import listen
from .pool import Pool

if TYPE_CHECKING:
    from .server import Server

TRACKS = ("stable", "canary")


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    line = argparse.ArgumentParser(prog="python -m workbench.serve.replica", description="Serve one model.")
    line.add_argument("--model", required=True, help="name that requests use")
    line.add_argument("--version", required=True, help="version that requests use")
    line.add_argument("--bundle", required=True, type=Path, help="folder of the compiled model")
    line.add_argument("--ready-file", required=True, type=Path, help="written once requests are answered")
    line.add_argument("--host", default="127.0.0.1")
    line.add_argument("--port", default=0, type=int, help="0: the system chooses (default)")
    line.add_argument("--track", default="stable", choices=TRACKS)
    line.add_argument("--state-file", type=Path, help="the route's word: 'draining' sends clients away")
    line.add_argument("--threads", default=1, type=int, help="threads of one inference")
    line.add_argument("--loader", default=DEFAULT_LOADER, help="module:function that loads a bundle")
    line.add_argument("--workers", default=1, type=int, help="inferences at once")
    line.add_argument("--queue", default=64, type=int, help="requests that may wait; more get 503")
    line.add_argument("--max-body-mib", default=64, type=int, help="a larger body gets 413")
    line.add_argument("--grace-s", default=30, type=int, help="seconds for requests in flight at a stop")
    return line


def main(arguments: list[str] | None = None) -> int:
    """Run a replica until it is told to stop and return the exit status."""
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop_early)
    started_ns = time.time_ns()
    error_file = options.ready_file.with_name(options.ready_file.name + ".error")
    try:
        _check(options)
        for stale in (options.ready_file, error_file):  # what an earlier start under this name said
            stale.unlink(missing_ok=True)
        listener = listen(options.host, options.port)
        pool = Pool(options.workers, options.queue)
        server = prepare(options, listener, pool, started_ns)
    except WorkbenchError as error:
        print(error, file=sys.stderr)
        if error_file.parent.is_dir():
            _write_json(error_file, error.to_json())
        return 1
    server.run_on(listener)
    log = logging.getLogger(__package__)
    if pool.pending:  # an inference that never ends must not keep the process: its thread cannot be stopped
        log.error("gave up", extra={"facts": {"requests": pool.pending}})
        os._exit(1)
    log.info("stopped")
    return 0


def prepare(options: argparse.Namespace, listener: socket.socket, pool: Pool, started_ns: int) -> Server:
    """Load and warm up the model and return the server that will answer for it."""
    from . import app, bundle
    from .drain import Drain
    from .envelope import Envelope
    from .metrics import Metrics
    from .server import Server

    facts = {"model": options.model, "version": options.version, "track": options.track}
    log = logs.configure(**facts, pid=os.getpid())
    model = bundle.load(
        options.bundle,
        name=options.model,
        version=options.version,
        loader=options.loader,
        threads=options.threads,
    )
    warm_up_ms = bundle.warm_up(model, options.bundle)
    drain, metrics = Drain(options.state_file), Metrics(**facts)
    inner = app.build(
        model,
        pool,
        drain,
        metrics,
        max_body_bytes=options.max_body_mib << 20,
    )
    headers = {"x-mlops-track": options.track, "x-mlops-version": options.version}

    def announce() -> None:
        host, port = listener.getsockname()[:2]
        ready = {"pid": os.getpid(), "host": host, "port": port, **facts}
        ready |= {"started_ns": started_ns, "warm_up_ms": round(warm_up_ms, 3)}
        _write_json(options.ready_file, ready)
        log.info("ready", extra={"facts": {"port": port, "warm_up_ms": ready["warm_up_ms"]}})

    return Server(
        Envelope(inner, headers, drain, metrics), drain, grace_s=options.grace_s, on_started=announce
    )


def _check(options: argparse.Namespace) -> None:
    for name in ("model", "version"):
        value = getattr(options, name)
        if not (
            value.isascii() and value.isprintable() and value.strip() == value and "/" not in value and value
        ):
            raise InputError(
                f"{value!r} cannot be a {name}", where=f"--{name}", fix="printable ASCII without /"
            )
    for name, least in (("threads", 1), ("workers", 1), ("queue", 0), ("max_body_mib", 1), ("grace_s", 0)):
        if getattr(options, name) < least:
            raise InputError(f"must be {least} or more", where="--" + name.replace("_", "-"))

    if not options.ready_file.parent.is_dir():
        raise MissingInput("no such folder", where=str(options.ready_file.parent), fix="--ready-file")


def _stop_early(number: int, frame: object) -> Never:
    raise SystemExit(0)


def _write_json(path: Path, data: dict[str, object]) -> None:
    atomic.write_bytes(path, json.dumps(data).encode())


if __name__ == "__main__":
    raise SystemExit(main())
