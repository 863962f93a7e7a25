"""The one process with BPF rights: ``python -m workbench.trace.collector``.

It loads only the objects shipped with the workbench, for clients on a ``SOCK_SEQPACKET`` socket whose
identity the kernel vouches for (SO_PEERCRED), and traces nothing but the client itself and what it started.
It reads no memory of theirs and resolves no names: raw records go back to the client
(:mod:`workbench.trace.wire`).

One thread, one loop: every tenth of a second, or when a client speaks or dies, waiting records move on. It
ends when its owner ends.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from pathlib import Path

from ..bpf.libbpf import Library
from ..bpf.sockets import listen_for_all, peer
from ..errors import TraceError, WorkbenchError
from . import privileges
from .build import load_object
from .connection import Connection
from .probes import ENFORCE, FOLLOW, PROBES

# How old a record may get before the client sees it; waking up for each would cost more than taking it.
_TICK_SECONDS = 0.1
_MAX_CLIENTS = 64
_MAX_CLIENTS_PER_USER = 16
_MAX_SESSIONS = 8
_MAX_SESSIONS_PER_USER = 4
# Loading programs costs a tenth of a second of a CPU: a client that starts and stops all day must not have one.
_MAX_STARTS, _START_WINDOW_SECONDS = 120, 30.0


class Collector:
    """Serve clients until the owner ends.

    Parameters
    ----------
    listener
        A listening socket.
    owner
        pidfd of the process that started it, or -1 to serve for ever.
    uid
        The only user served, or -1 for every user.
    enforce
        Also refuse connects for clients that ask.
    """

    def __init__(
        self, listener: socket.socket, owner: int = -1, uid: int = -1, *, enforce: bool = False
    ) -> None:
        self._listener, self._owner, self._uid = listener, owner, uid
        self._library = Library()
        self._objects = {name: load_object(name) for name in (FOLLOW.name, *PROBES)}
        if enforce:
            self._objects[ENFORCE.name] = load_object(ENFORCE.name)
        self._clients: list[Connection] = []
        self._starts: dict[int, deque[float]] = {}
        self._selector = selectors.DefaultSelector()
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)
        if owner >= 0:
            self._selector.register(owner, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve."""
        try:
            while self._turn():
                pass
        finally:
            for client in list(self._clients):
                self._forget(client)
                client.close()

    def _turn(self) -> bool:
        for key, _ in self._selector.select(_TICK_SECONDS if self._clients else None):
            if key.fileobj == self._owner:
                return False
            if key.fileobj is self._listener:
                self._accept()
            elif key.data.state != "closed":
                self._hear(key.data, key.fileobj)
        for client in list(self._clients):
            self._serve(client)
        return True

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        uid = peer(sock)[1]
        same = sum(client.uid == uid for client in self._clients)
        if len(self._clients) >= _MAX_CLIENTS or same >= _MAX_CLIENTS_PER_USER:
            sock.close()
            return
        try:
            client = Connection(sock)
        except (TraceError, OSError):
            sock.close()
            return
        self._clients.append(client)
        self._selector.register(sock, selectors.EVENT_READ, client)
        self._selector.register(client.pidfd, selectors.EVENT_READ, client)

    def _hear(self, client: Connection, source: object) -> None:
        before = (client.sock.fileno(), client.pidfd)
        if source == client.pidfd:
            self._forget(client)
            client.close()
            return
        refusal = self._refusal(client) if client.state == "waiting" else ""
        client.read(self._library, self._objects, allowed=refusal)
        if client.state == "closed":
            self._unregister(client, before)

    def _serve(self, client: Connection) -> None:
        before = (client.sock.fileno(), client.pidfd)
        client.write()
        if client.state != "closed":
            client.check_time()
        if client.state == "closed":
            self._unregister(client, before)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.wants_write else 0)
        self._selector.modify(client.sock, events, client)

    def _refusal(self, client: Connection) -> str:
        """Why this client may not start a session; empty when it may."""
        if self._uid not in (-1, client.uid):
            return f"this collector serves user {self._uid}, you are {client.uid}"
        sessions = [other.uid for other in self._clients if other.tracing]
        if len(sessions) >= _MAX_SESSIONS or sessions.count(client.uid) >= _MAX_SESSIONS_PER_USER:
            return f"too many tracing sessions ({len(sessions)}); end one first"
        now = time.monotonic()
        starts = self._starts.setdefault(client.uid, deque())
        while starts and now - starts[0] > _START_WINDOW_SECONDS:
            starts.popleft()
        if len(starts) >= _MAX_STARTS:
            return f"more than {_MAX_STARTS} sessions in {_START_WINDOW_SECONDS:.0f} s; wait a moment"
        starts.append(now)
        return ""

    def _forget(self, client: Connection) -> None:
        self._unregister(client, (client.sock.fileno(), client.pidfd))

    def _unregister(self, client: Connection, handles: tuple[int, int]) -> None:
        for handle in handles:
            self._selector.unregister(handle)
        self._clients.remove(client)


def main(arguments: list[str] | None = None) -> int:
    """Start from the command line; a failure is one line of JSON on stderr."""
    parser = argparse.ArgumentParser(prog="python -m workbench.trace.collector", description=__doc__)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--listen-fd", type=int, help="a listening socket inherited from the owner")
    place.add_argument("--socket", type=Path, help="where to listen, for every user of this machine")
    parser.add_argument(
        "--owner", type=int, default=0, help="end when this process ends, serve only its user"
    )
    parser.add_argument(
        "--enforce", action="store_true", help="also refuse connects for clients that ask (CAP_NET_ADMIN)"
    )
    options = parser.parse_args(arguments)
    try:
        owner, uid = _owner(options.owner)
        listener = _listen(options.socket, options.listen_fd)
        collector = Collector(listener, owner, uid, enforce=options.enforce)
        privileges.drop(enforce=options.enforce)
    except WorkbenchError as error:
        print(json.dumps(error.to_json()), file=sys.stderr)
        return 1
    # A signal that kills would cut the kernel short while it takes probes out of functions, and leave some there.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    collector.run()
    return 0


def _owner(pid: int) -> tuple[int, int]:
    if not pid:
        return -1, -1
    try:
        return os.pidfd_open(pid), Path(f"/proc/{pid}").stat().st_uid
    except OSError as error:
        raise TraceError(f"the owner {pid} is gone", where="collector") from error


def _listen(path: Path | None, handle: int | None) -> socket.socket:
    return socket.socket(fileno=handle) if path is None else listen_for_all(path)


if __name__ == "__main__":
    raise SystemExit(main())
