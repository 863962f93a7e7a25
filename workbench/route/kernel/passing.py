"""Carry in user space what the kernel could not.

One exchange of a client that closed its side before the kernel could take its connection; and a request that came
when no track could be asked, which happens in the moment in which a replica has closed and the next is not connected.
"""

from __future__ import annotations

import contextlib
import socket
import threading

from ...errors import TraceError
from . import layout
from .dialer import CONNECT_S, Dialer
from .ending import pieces, refuse
from .troubles import Troubles

_MOST = 256
_PIECE = 1 << 16
_SILENT_S = 60.0


class Passing:
    """Clients that closed their side before the kernel could take them, a thread each."""

    def __init__(self, dialer: Dialer, troubles: Troubles) -> None:
        self._dialer, self._troubles = dialer, troubles

    @property
    def count(self) -> int:
        """How many there are."""
        return threading.active_count() - 1

    def begin(self, client: socket.socket, slot: int) -> bool:
        """Have a client answered by a replica of a track, and close it; ``False`` if there are too many already."""
        if self.count >= _MOST:
            return False
        threading.Thread(target=self._pass_on, args=(client, slot), daemon=True).start()
        return True

    def _pass_on(self, client: socket.socket, slot: int) -> None:
        """Send what it sent to a replica, and the answer back, until both have ended; close both."""
        with client:
            try:
                replica = self._dialer.connect(slot)
            except (OSError, TraceError) as error:
                self._troubles.tell(f"track slot {slot} could not be connected: {error}")
                refuse(client)
                return
            try:
                _carry(client, replica)
            finally:
                self._dialer.hang_up(replica)


def take_over(client: socket.socket, replica: socket.socket, pair: layout.Pair, slot: int) -> int | None:
    """Send a request that waits at a client, whom no track's answer is due, to a replica; it stays with that one.

    Returns
    -------
    int | None
        How many bytes that were; ``None`` if the request cannot be put together: it went on coming meanwhile.
    """
    sent = _hand_on(client, replica)
    if sent is None:
        return None
    asked = pair.asked[slot]
    pair.slot, pair.phase, pair.closes = slot, layout.ASKED, 0
    pair.stuck = 1  # from here on the kernel carries what comes: it must be what comes next
    late = _hand_on(client, replica)
    return None if late is None or (late and pair.asked[slot] != asked) else sent + late


def _hand_on(source: socket.socket, sink: socket.socket) -> int | None:
    count = 0
    try:
        sink.settimeout(CONNECT_S)
        for data in pieces(source):
            sink.sendall(data)
            count += len(data)
        sink.setblocking(False)
    except OSError:  # the replica closes too, or does not read
        return None
    return count


def _carry(client: socket.socket, replica: socket.socket) -> None:
    with contextlib.suppress(OSError):
        for source, sink in ((client, replica), (replica, client)):
            for sock in (source, sink):
                sock.settimeout(_SILENT_S)
            while data := source.recv(_PIECE):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
