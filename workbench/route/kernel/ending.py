"""When a connection that the kernel carries may be closed: not before its last byte has arrived.

The kernel moves bytes from socket to socket by itself, so a process hears that a side has closed before the bytes
that came ahead of it are through. A socket closed then would lose them.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

from . import layout
from .pairs import Client, Tables, acknowledged, unread

BROKEN = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
REFUSED = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\nconnection: close\r\n\r\n"
)
_PIECE, _MOST_PIECES = 1 << 16, 128
_SETTLE_S = 0.001
_LONGEST_S = 60.0


class Ending:
    """Decides about clients that have left, and about tracks that have."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def is_over(self, one: Client) -> bool:
        """Return whether this client's connection is to be closed now."""
        pair = self._tables.pairs[one.index]
        now = time.monotonic()
        if one.reset:
            return True
        if one.left:
            one.left_s = one.left_s or now
            if now - one.left_s > _LONGEST_S or self._has_left(one, pair):
                return True
        lost_s = one.lost.get(pair.slot)
        if lost_s is None or now - lost_s < _SETTLE_S or pair.slot not in one.tracks:
            return False
        return self._track_is_lost(one, pair, now - lost_s)

    def is_free(self, one: Client, slot: int) -> bool:
        """Return whether a client's socket to a track that closed, or has no traffic, may go."""
        pair = self._tables.pairs[one.index]
        since_s = one.lost.get(slot, one.spare.get(slot))
        if since_s is None or time.monotonic() - since_s < _SETTLE_S:
            return False
        idle = pair.phase == layout.QUIET and not pair.stuck and not (pair.closes and slot in one.lost)
        return pair.slot != slot or idle

    def _has_left(self, one: Client, pair: layout.Pair) -> bool:
        """Whether a client that sends no more has had its answer, or will never have one."""
        if pair.stuck:
            self._half_close(one, pair)
            return False  # its replica closes when it has answered
        if pair.phase == layout.QUIET:
            return one.is_answered(pair)
        return bool(pair.asked_left)  # the rest of the request will not come

    def _half_close(self, one: Client, pair: layout.Pair) -> None:
        """Tell the replica that the client sends no more, once it has all that was sent."""
        sock = one.tracks.get(pair.slot)
        if sock is None or one.told or unread(one.sock):
            return
        if acknowledged(sock) - one.asked_acked[pair.slot] >= pair.asked[pair.slot]:
            one.told = True
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_WR)

    def _track_is_lost(self, one: Client, pair: layout.Pair, for_s: float) -> bool:
        """Whether to close a client whose replica, the one it asked last, has closed."""
        if pair.phase == layout.REFUSED:
            return False  # its request will be taken over
        if pair.phase == layout.QUIET and not pair.stuck and not pair.closes:
            return False  # the next request goes to another replica
        if unread(one.tracks[pair.slot]) and for_s < _LONGEST_S:
            return False
        if pair.phase == layout.ASKED:
            with contextlib.suppress(OSError):
                one.sock.send(BROKEN)
            return True
        return one.is_answered(pair) or for_s > _LONGEST_S


def pieces(client: socket.socket) -> Iterator[bytes]:
    """Yield what waits to be read, as much as fits into buffers: nobody who goes on sending may hold us up."""
    client.setblocking(False)
    with contextlib.suppress(OSError):  # that was all, or it has gone
        for _ in range(_MOST_PIECES):
            if not (data := client.recv(_PIECE)):
                return
            yield data


def refuse(client: socket.socket) -> None:
    """Tell a client that nobody is there for it now.

    Its request is read first: what is unread when a socket is closed becomes a reset, and that can overtake the answer.
    """
    for _ in pieces(client):
        pass
    with contextlib.suppress(OSError):
        client.send(REFUSED)
        client.shutdown(socket.SHUT_WR)
