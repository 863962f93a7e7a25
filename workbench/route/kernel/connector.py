"""The process that connects clients to both tracks: ``python -m workbench.route.kernel.connector``.

It accepts a client, waits for its first bytes, connects a replica of each track and enters the sockets into the
kernel's map; from then on ``bpf/requests.bpf.c`` carries every byte, and this process only hears who closes. It runs
as the deployment's owner, without rights: the router hands it the maps of that deployment. Dead, it takes the
connections it held with it; the kernel gives new ones to replicas directly until it is started again.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes as c
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from pathlib import Path

from ... import atomic
from ...bpf.libbpf import Library
from ...errors import TraceError, WorkbenchError
from ...store import owner
from . import client as router
from . import layout
from .dialer import Dialer
from .ending import Ending, refuse
from .listeners import BACKLOG, client_listener
from .pairs import Client, Tables, acknowledged, has_bytes, is_open, wanted
from .passing import Passing, take_over
from .troubles import Troubles

_HANDLES = 32
"""Descriptors kept for ourselves; the rest are for clients, each with its tracks, and one more is refused."""
_TRIES = 3
"""A client is connected to tracks so many times: they may change meanwhile."""

_SOON_S, _FOLLOW_S, _REST_S = 0.001, 0.02, 1.0
_IDLE_S = 75.0
_SO_RCVLOWAT = 18


class Connector:
    """Connects clients to tracks until it is told to stop."""

    def __init__(self, listener: socket.socket, tables: Tables, port: int) -> None:
        self._listener, self._tables = listener, tables
        self._dialer = Dialer(tables, port, listener.getsockname()[1])
        self._troubles = Troubles()
        self._passing = Passing(self._dialer, self._troubles)
        self._poll = select.epoll()
        self._poll.register(listener, select.EPOLLIN)
        self._free = list(range(layout.PAIRS))
        self._by_handle: dict[int, tuple[Client, int | None]] = {}
        self._clients: set[Client] = set()
        self._ending: set[Client] = set()
        self._wanted: tuple[int, ...] = ()
        self._refused = tables.tally.refused
        self._most = (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _HANDLES) // layout.ENDS
        self._ends = Ending(tables)
        self.stopping = False

    def run(self) -> None:
        """Serve; once :attr:`stopping`, accept nobody more and return when the last request is answered."""
        followed = swept = 0.0
        while not self.stopping or self._passing.count or any(self._phase(one) for one in self._clients):
            wait = _SOON_S if self._ending else _FOLLOW_S if self._clients else _REST_S
            for handle, events in self._poll.poll(wait):
                self._hear(handle, events)
            if self.stopping and self._listener.fileno() >= 0:
                self._poll.unregister(self._listener)
                self._listener.close()
            now = time.monotonic()
            if now - followed >= _FOLLOW_S:
                followed = now
                self._follow()
            for one in list(self._ending):
                step = self._close if self._ends.is_over(one) else self._mend
                step(one)
            if now - swept >= _REST_S:
                swept = now
                self._sweep(now)

    def _hear(self, handle: int, events: int) -> None:
        if handle == self._listener.fileno():
            self._accept()
            return
        one, slot = self._by_handle.get(handle, (None, None))
        if one is None:
            return
        if slot is not None:
            pair = self._tables.pairs[one.index]
            pair.open &= ~(1 << slot)  # first: nothing more goes there
            pair.lost |= 1 << slot
            one.lost.setdefault(slot, time.monotonic())
            self._poll.unregister(handle)
            self._ending.add(one)
        elif one.index >= 0:
            one.left = True
            one.reset = one.reset or bool(events & (select.EPOLLHUP | select.EPOLLERR))
            if not one.reset:
                self._poll.modify(handle, 0)  # told once; that it is gone altogether is always told
            self._ending.add(one)
        elif events & select.EPOLLIN and has_bytes(one.sock):
            self._join(one)
        else:
            self._close(one)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # nobody waits, or one has gone: the poll tells again
            for _ in range(BACKLOG):
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if len(self._clients) + self._passing.count >= self._most:
                    refuse(sock)
                    sock.close()
                    continue
                one = Client(sock)
                self._clients.add(one)
                self._by_handle[sock.fileno()] = one, None
                self._poll.register(sock, select.EPOLLIN | select.EPOLLRDHUP)

    def _join(self, one: Client) -> None:
        """Connect a client to the tracks and let the kernel carry its requests, the one that waits first."""
        if not self._free:
            self._turn_away(one)
            return
        one.index = self._free.pop()
        pair = self._tables.pairs[one.index]
        c.memset(c.addressof(pair), 0, c.sizeof(pair))
        for _ in range(_TRIES):
            control = self._tables.control()
            pair.stable = control.stable
            for slot in wanted(control):
                self._connect(one, slot)
            if one.tracks or wanted(self._tables.control()) == wanted(control):
                break
        if not one.tracks:
            self._turn_away(one)
            return
        one.acked = acknowledged(one.sock)
        try:
            self._tables.enter(one.sock, one.place())
        except TraceError:  # it will send no more: the kernel takes only connections that are open both ways
            self._pass_on(one, control.stable)
            return
        self._poll.modify(one.sock, select.EPOLLRDHUP)
        # What came before it entered waits in its queue; this has the kernel look at it.
        one.sock.setsockopt(socket.SOL_SOCKET, _SO_RCVLOWAT, 1)

    def _pass_on(self, one: Client, slot: int) -> None:
        """Have a client that has half-closed already answered by a thread of its own."""
        self._poll.unregister(one.sock)  # else its copy is heard under a number that is free
        client = one.sock.dup()
        self._close(one)
        if not self._passing.begin(client, slot):
            refuse(client)
            client.close()

    def _connect(self, one: Client, slot: int) -> None:
        try:
            sock = self._dialer.connect(slot)
        except (OSError, TraceError) as error:
            self._troubles.tell(f"track slot {slot} could not be connected: {error}")
            return
        try:
            self._tables.enter(sock, one.place(slot))
        except TraceError:  # closed again already
            self._dialer.hang_up(sock)
            return
        pair = self._tables.pairs[one.index]
        pair.asked[slot], pair.lost = 0, pair.lost & ~(1 << slot)
        one.tracks[slot] = sock
        one.asked_acked[slot] = acknowledged(sock)
        self._by_handle[sock.fileno()] = one, slot
        self._poll.register(sock, select.EPOLLRDHUP)
        pair.open |= 1 << slot

    def _follow(self) -> None:
        """Connect every client to tracks that are new, and take it from those that have no traffic any more."""
        now = wanted(self._tables.control())
        if now != self._wanted:
            self._wanted = now
            self._ending |= {one for one in self._clients if one.index >= 0}
        if self._tables.tally.refused != self._refused:
            self._refused = self._tables.tally.refused
            for one in [one for one in self._clients if self._phase(one) == layout.REFUSED]:
                if not self._take_over(one):
                    self._turn_away(one)

    def _take_over(self, one: Client) -> bool:
        """Send a request that came when no track could be asked to one that can be now."""
        for slot in [slot for slot, sock in one.tracks.items() if not is_open(sock)]:
            self._drop(one, slot)
        for slot in self._wanted:
            if slot not in one.tracks:
                self._connect(one, slot)
            if slot in one.tracks:
                sent = take_over(one.sock, one.tracks[slot], self._tables.pairs[one.index], slot)
                one.asked_acked[slot] += sent or 0  # what we sent, the kernel has not counted
                return sent is not None
        return False

    def _mend(self, one: Client) -> None:
        """Bring a client's tracks to those that have traffic; done with it once they are."""
        pair = self._tables.pairs[one.index]
        for slot in [slot for slot in one.tracks if self._ends.is_free(one, slot)]:
            self._drop(one, slot)
        if pair.stuck:  # it stays where it is until a side closes, which is heard
            if not one.lost and not one.left and one.spare.keys() <= {pair.slot}:
                self._ending.discard(one)
            return
        for slot in self._wanted if not one.left else ():
            if slot not in one.tracks:
                self._connect(one, slot)
        if not one.tracks and not one.left:
            leave = self._turn_away if has_bytes(one.sock) else self._close
            leave(one)
            return
        if self._wanted and self._wanted[0] in one.tracks:
            for slot in [slot for slot in one.tracks if slot not in self._wanted and slot not in one.lost]:
                pair.open &= ~(1 << slot)
                one.spare.setdefault(slot, time.monotonic())
        if not one.lost and not one.spare and not one.left:
            self._ending.discard(one)

    def _drop(self, one: Client, slot: int) -> None:
        sock = one.tracks.pop(slot)
        one.lost.pop(slot, None)
        one.spare.pop(slot, None)
        del self._by_handle[sock.fileno()]
        self._dialer.unmark(sock)
        self._tables.leave(sock, one.place(slot))

    def _turn_away(self, one: Client) -> None:
        refuse(one.sock)
        self._close(one)

    def _close(self, one: Client) -> None:
        for slot in list(one.tracks):
            self._tables.pairs[one.index].open = 0
            self._drop(one, slot)
        self._clients.discard(one)
        self._ending.discard(one)
        del self._by_handle[one.sock.fileno()]
        if one.index < 0:
            one.sock.close()
        else:
            self._tables.leave(one.sock, one.place())
            self._free.append(one.index)

    def _phase(self, one: Client) -> int:
        return self._tables.pairs[one.index].phase if one.index >= 0 else layout.QUIET

    def _sweep(self, now: float) -> None:
        """Close who has asked nothing for long."""
        for one in list(self._clients):
            answered = self._tables.pairs[one.index].answered if one.index >= 0 else 0
            if answered != one.seen or self._phase(one) != layout.QUIET:
                one.seen, one.since_s = answered, now
            elif now - one.since_s > _IDLE_S:
                self._close(one)


def main(arguments: list[str] | None = None) -> int:
    """Connect clients until SIGTERM; ``READY_FILE`` appears once the kernel sends them here."""
    line = argparse.ArgumentParser(prog="python -m workbench.route.kernel.connector")
    line.add_argument("--router", required=True, type=Path, help="where the router listens")
    line.add_argument("--key", required=True, help="the deployment's name there")
    line.add_argument("--ready-file", required=True, type=Path)
    options = line.parse_args(arguments)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listener = client_listener()
    try:
        answer, handles = router.ask(
            options.router, {"do": "connect", "key": options.key}, [listener.fileno()]
        )
    except WorkbenchError as error:
        print(error, file=sys.stderr)
        return 1
    connector = Connector(listener, Tables(Library(), handles), int(answer["port"]))
    signal.signal(signal.SIGTERM, lambda number, frame: setattr(connector, "stopping", True))
    ready = {"pid": os.getpid(), "owner": owner.current()}
    atomic.write_bytes(options.ready_file, json.dumps(ready).encode())
    connector.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
