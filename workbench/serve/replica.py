"""One replica: a process that loads one model, warms it up, says that it is ready and serves it.

::

    python -m workbench.serve.replica --model minilm --version 3 --bundle FOLDER --ready-file FILE
        [--host 127.0.0.1] [--port 0] [--track stable|canary] [--state-file FILE] [--threads 1]
        [--loader workbench.compile:load] [--workers 1] [--queue 64] [--max-body-mib 64] [--grace-s 30]
        [--max-batch 1] [--grpc-port P] [--local-socket PATH] [--shared-memory PREFIX] [--traces FILE]
        [--control-group NAME [--memory-bytes N] [--cpus F] [--pids N] [--egress NETWORKS]]

Contract with whoever starts it:

* the *ready file* appears, whole, once a real inference has succeeded and connections are accepted:
  ``{"pid", "port", "host", "model", "version", "track", "started_ns", "warm_up_ms"}``
  (``started_ns``: wall clock when the process began), and ``grpc_port``, ``local_socket`` where asked for;
* a replica that cannot start writes the error's JSON to ``<ready file>.error``, its text to standard error,
  and exits with 1;
* ``--listen-fd FD``: serve on the listening socket of the process before, whose clients wait in it;
* ``--drain-word FD:INDEX``: a route in the kernel hands over a descriptor; while the word is not 0, the same as
  while the state file says ``draining``;
* the *state file* is text; while it says ``draining``, every answer carries ``Connection: close``;
* SIGTERM and SIGINT: answer what is in flight, then exit with 0; with 1 if that took longer than the grace.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never

from .. import atomic
from ..errors import WorkbenchError
from . import logs
from .listener import adopt, listen
from .options import check, parser
from .pool import Pool

if TYPE_CHECKING:
    from .server import Server
    from .service import Service, Transport


def main(arguments: list[str] | None = None) -> int:
    """Run a replica until it is told to stop and return the exit status."""
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop_early)
    started_ns = time.time_ns()
    error_file = options.ready_file.with_name(options.ready_file.name + ".error")
    try:
        check(options)
        for stale in (options.ready_file, error_file):  # what an earlier start under this name said
            stale.unlink(missing_ok=True)
        if options.control_group:  # before anything large is loaded
            _limit(options)
        listener = adopt(options.listen_fd) if options.listen_fd else listen(options.host, options.port)
        pool = Pool(options.workers, options.queue)
        server = prepare(options, listener, pool, started_ns)
        server.run_on(listener)
    except WorkbenchError as error:
        print(error, file=sys.stderr)
        if error_file.parent.is_dir():
            _write_json(error_file, error.to_json())
        return 1
    log = logging.getLogger(__package__)
    if pool.pending:  # an inference that never ends must not keep the process: its thread cannot be stopped
        log.error("gave up", extra={"facts": {"requests": pool.pending}})
        os._exit(1)
    log.info("stopped")
    return 0


def prepare(options: argparse.Namespace, listener: socket.socket, pool: Pool, started_ns: int) -> Server:
    """Load and warm up the model and return the server that will answer for it."""
    from . import app, bundle
    from .drain import Drain, Word
    from .envelope import Envelope
    from .metrics import Metrics
    from .server import Server
    from .service import Service
    from .shared_memory import Regions
    from .spans import SpanFile

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
    if options.max_batch > 1:
        model = bundle.measure_batches(model, options.bundle, options.max_batch)
    largest = options.max_body_mib << 20
    service = Service(
        model,
        pool,
        Drain(options.state_file, Word(options.drain_word) if options.drain_word else None),
        Metrics(**facts),
        largest,
        regions=Regions(options.shared_memory, largest) if options.shared_memory else None,
        spans=SpanFile(options.traces, **facts, pid=os.getpid()) if options.traces else None,
        identity={"x-mlops-track": options.track, "x-mlops-version": options.version},
    )
    pool.start(model)

    def announce(said: dict[str, Any]) -> None:
        gc.collect()
        gc.freeze()  # what it took to start stays; a collection between requests need not look at it
        host, port = listener.getsockname()[:2]
        ready = {"pid": os.getpid(), "host": host, "port": port, **said, **facts}
        ready |= {"started_ns": started_ns, "warm_up_ms": round(warm_up_ms, 3)}
        _write_json(options.ready_file, ready)
        log.info("ready", extra={"facts": {"port": port, **said, "warm_up_ms": ready["warm_up_ms"]}})

    return Server(
        Envelope(app.build(service), service),
        service.drain,
        grace_s=options.grace_s,
        on_started=announce,
        transports=_transports(options, service),
    )


def _limit(options: argparse.Namespace) -> None:
    from .control_group import ControlGroup, Limits

    group = ControlGroup(options.control_group)
    group.limit(Limits(options.memory_bytes, options.cpus, options.pids))
    if options.egress:
        from . import egress

        egress.hold(group.unified(), egress.networks(options.egress))
    group.join()


def _transports(options: argparse.Namespace, service: Service) -> list[Transport]:
    """Return the ways in that were asked for, beside HTTP."""
    found: list[Transport] = []
    if options.grpc_port is not None:
        from .transports.grpc import GrpcTransport

        found.append(GrpcTransport(service, options.host, options.grpc_port, options.grace_s))
    if options.local_socket is not None:
        from .transports.local import LocalTransport

        found.append(LocalTransport(service, options.local_socket))
    return found


def _stop_early(number: int, frame: object) -> Never:
    raise SystemExit(0)


def _write_json(path: Path, data: dict[str, object]) -> None:
    atomic.write_bytes(path, json.dumps(data).encode())


if __name__ == "__main__":
    raise SystemExit(main())
