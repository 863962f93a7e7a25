"""The user-space route: a process that answers one address and splits its requests between two tracks.

::

    python -m workbench.route.proxy --state FILE --ready-file FILE [--host 127.0.0.1] [--port 0]
        [--max-body-mib 64] [--head-s 30] [--body-s 60] [--answer-s 60] [--grace-s 10]

Contract with whoever starts it:

* it follows the *state file* from before each request on, so a change needs no word to it;
* the *ready file* appears, whole, once connections are accepted: ``{"pid", "owner", "host", "port",
  "admin_port", "started_ns"}``;
* a proxy that cannot start writes the error's JSON to ``<ready file>.error`` and exits with 1;
* ``GET /_mlops/stats`` on the admin port (loopback only, whatever the host) answers with its counters;
* when the canary has spent its budget it loses its traffic with that request, then the state file says so;
* SIGTERM: accept nothing more, finish what is in flight, exit with 0. It needs no parent and no controller.

The split is by request, not by connection: a client that keeps its connection meets both tracks.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import sys
import time
from pathlib import Path

from .. import atomic, codec
from ..errors import WorkbenchError
from ..store import owner
from .base import IMPLEMENTATION, STATS_PATH, cannot_listen
from .forward import Forwarder
from .gateway import Gateway, Limits
from .http1 import MAX_HEAD_BYTES
from .meters import RouteStats
from .policy import Verdict
from .state import RouteState, roll_back
from .statefile import StateFile

_FOLLOW_S = 0.02  # how stale the counters' generation may be while no request comes
_BACKLOG = 1024


class Proxy:
    """One route's process."""

    def __init__(self, file: StateFile, limits: Limits, *, answer_timeout_s: float) -> None:
        self._file = file
        self._watch = file.watch()
        self._writing: set[asyncio.Task[RouteState]] = set()
        self.forwarder = Forwarder(self._watch.state, self._convict, answer_timeout_s=answer_timeout_s)
        self.gateway = Gateway(self.forwarder, limits, follow=self.follow)

    def follow(self) -> None:
        """Take in a changed state file."""
        if self._watch.changed():
            self.forwarder.follow(self._watch.state)

    async def keep_following(self) -> None:
        """Follow the file while no request does."""
        while True:
            self.follow()
            await asyncio.sleep(_FOLLOW_S)

    async def close(self, grace_s: float) -> None:
        """Finish what is in flight, and what the sentinel decided."""
        await self.gateway.close(grace_s)
        await asyncio.gather(*self._writing)

    def _convict(self, verdict: Verdict) -> None:
        """Take the canary's traffic away now, in memory; then tell everybody through the file."""
        now, version = time.time_ns(), self.forwarder.state.canary and self.forwarder.state.canary.version

        def change(state: RouteState) -> RouteState:
            guilty = state.canary is not None and state.canary.version == version
            return roll_back(state, decided_ns=now, evidence=verdict, by="sentinel") if guilty else state

        self.forwarder.follow(change(self.forwarder.state))
        # A write waits for the disk, and requests must not wait for it.
        task = asyncio.create_task(asyncio.to_thread(self._file.update, change))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    def stats(self) -> RouteStats:
        """Return the counters."""
        meters = self.forwarder.meters
        return RouteStats(
            implementation=IMPLEMENTATION,
            pid=os.getpid(),
            generation=self.forwarder.state.generation,
            tracks={name: meter.read() for name, meter in meters.items()},
            in_flight=self.forwarder.in_flight(),
            unanswered=self.forwarder.unanswered,
            shadow=self.forwarder.audit.read() if self.forwarder.state.shadow else None,
        )

    async def admin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request for the counters and close."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(5.0):
                line, _, _ = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
            known = line.startswith(b"GET %s " % STATS_PATH.encode())
            body = codec.dumps(self.stats()).encode() if known else b"{}"
            head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\nconnection: close\r\n"
            head %= b"200 OK" if known else b"404 Not Found"
            writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        writer.close()


async def run(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    limits = Limits(options.head_s, options.body_s, options.max_body_mib << 20)
    proxy = Proxy(StateFile(options.state), limits, answer_timeout_s=options.answer_s)
    listener = listen(options.host, options.port)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await asyncio.start_server(
        proxy.gateway.serve, sock=listener, backlog=_BACKLOG, limit=2 * MAX_HEAD_BYTES
    )
    admin = await asyncio.start_server(proxy.admin, "127.0.0.1", 0)
    following = asyncio.create_task(proxy.keep_following())
    ready = {
        "pid": os.getpid(),
        "owner": owner.current(),
        "host": options.host,
        "port": listener.getsockname()[1],
        "admin_port": admin.sockets[0].getsockname()[1],
        "started_ns": time.time_ns(),
    }
    atomic.write_bytes(options.ready_file, json.dumps(ready).encode())
    await stop.wait()
    server.close()
    await proxy.close(options.grace_s)
    following.cancel()
    admin.close()


def listen(host: str, port: int) -> socket.socket:
    """Return a bound socket; 0 lets the system choose the port.

    Raises
    ------
    PortInUse
        If another process listens there.
    ServeError
        If the address cannot be bound at all.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart need not wait for TIME_WAIT
    try:
        listener.bind((host, port))
        # Two sockets may bind one address with SO_REUSEADDR; only listening tells whether it is free.
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise cannot_listen(error, host, port) from error
    return listener


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    line = argparse.ArgumentParser(prog="python -m workbench.route.proxy", description="Split traffic.")
    line.add_argument("--state", required=True, type=Path, help="the route's state file")
    line.add_argument("--ready-file", required=True, type=Path, help="written once connections are accepted")
    line.add_argument("--host", default="127.0.0.1")
    line.add_argument("--port", default=0, type=int, help="0: the system chooses (default)")
    line.add_argument("--max-body-mib", default=64, type=int, help="a larger body gets 413")
    line.add_argument("--head-s", default=30.0, type=float, help="seconds for a head, idle time included")
    line.add_argument("--body-s", default=60.0, type=float, help="seconds for a body")
    line.add_argument("--answer-s", default=60.0, type=float, help="seconds a replica may be silent")
    line.add_argument("--grace-s", default=10.0, type=float, help="seconds for requests in flight at a stop")
    return line


def main(arguments: list[str] | None = None) -> int:
    """Run a proxy until it is told to stop and return the exit status."""
    options = parser().parse_args(arguments)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # two descriptors a client
    try:
        asyncio.run(run(options))
    except WorkbenchError as error:
        print(error, file=sys.stderr)
        failure = options.ready_file.with_name(options.ready_file.name + ".error")
        atomic.write_bytes(failure, json.dumps(error.to_json()).encode())
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
