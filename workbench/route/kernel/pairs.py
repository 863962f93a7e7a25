"""A client whose requests the kernel carries, and its sockets, one a track; what the connector puts into the maps."""

from __future__ import annotations

import contextlib
import ctypes as c
import fcntl
import socket
import struct
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...bpf.libbpf import BpfMap, Library
from ...errors import TraceError
from . import layout
from .pinned import key_bytes, mapped, set_number

_SO_COOKIE = 57
_BYTES_ACKED = 120  # in struct tcp_info; its first byte is the state
_ESTABLISHED = 1


class Tables:
    """The maps, by the descriptors the router handed over."""

    def __init__(self, library: Library, handles: Sequence[int]) -> None:
        sockets, members, pairs, tallies, marks, control = handles
        self.sockets = BpfMap(library, sockets, 4, 8)
        self.members = BpfMap(library, members, 8, 4)
        self.marks = BpfMap(library, marks, 8, 4)
        self.pairs = mapped(pairs, layout.Pairs)
        self.tally = mapped(tallies, layout.Tally)
        # A map that is open for reading only cannot be mapped.
        self._control = BpfMap(library, control, 4, c.sizeof(layout.Control))

    def control(self) -> layout.Control:
        """Return what the split goes by now."""
        return layout.Control.from_buffer_copy(self._control.get(key_bytes(0)) or b"")

    def enter(self, sock: socket.socket, place: int) -> None:
        """Let the kernel carry what comes to a socket.

        Raises
        ------
        TraceError
            If its peer has closed.
        """
        self.members.set(_cookie(sock), key_bytes(place))
        try:
            set_number(self.sockets, place, sock.fileno())
        except TraceError:
            self.members.remove(_cookie(sock))
            raise

    def leave(self, sock: socket.socket, place: int) -> None:
        """Forget a socket, and close it."""
        self.members.remove(_cookie(sock))
        self.sockets.remove(key_bytes(place))
        sock.close()


@dataclass(eq=False)
class Client:
    """One client.

    Parameters
    ----------
    sock
        Its connection.
    index
        Of its pair; -1 until its first bytes have come.
    tracks
        Its connections to replicas, by track slot.
    acked
        Bytes of the client's connection that were acknowledged before it entered.
    asked_acked
        The same of its connections to replicas, by track slot.
    left, left_s, reset
        Whether it will send no more, since when (seconds, monotonic), and whether it is gone altogether.
    told
        Whether its replica knows that it will send no more.
    seen, since_s
        Bytes it had been answered when looked at last, and since when it is idle (seconds, monotonic).
    lost, spare
        Track slots whose replica has closed, and those that have no traffic any more; since when (seconds, monotonic).
    """

    sock: socket.socket
    index: int = -1
    tracks: dict[int, socket.socket] = field(default_factory=dict)
    acked: int = 0
    left: bool = False
    reset: bool = False
    told: bool = False
    left_s: float = 0.0
    seen: int = 0
    asked_acked: dict[int, int] = field(default_factory=dict)
    lost: dict[int, float] = field(default_factory=dict)
    spare: dict[int, float] = field(default_factory=dict)
    since_s: float = field(default_factory=time.monotonic)

    def place(self, slot: int | None = None) -> int:
        """Return where its socket, or that of a track slot, is in the map of sockets."""
        return self.index * layout.ENDS + (0 if slot is None else 1 + slot)

    def is_answered(self, pair: layout.Pair) -> bool:
        """Whether the client has acknowledged every byte of its answers."""
        return acknowledged(self.sock) - self.acked >= int(pair.answered)


def has_bytes(sock: socket.socket) -> bool:
    """Whether bytes wait to be read."""
    with contextlib.suppress(OSError):
        return bool(sock.recv(1, socket.MSG_PEEK))
    return False


def is_open(sock: socket.socket) -> bool:
    """Whether neither side has closed."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED


def wanted(control: layout.Control) -> tuple[int, ...]:
    """Return the track slots that have traffic, stable first."""
    tracks = (control.stable,) if control.stable < layout.TRACKS else ()
    canary = control.canary if control.state == layout.ACTIVE else layout.NO_TRACK
    return (*tracks, canary) if canary < layout.TRACKS else tracks


def acknowledged(sock: socket.socket) -> int:
    """Return how many bytes sent to a peer it has acknowledged."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return int(struct.unpack_from("<Q", info, _BYTES_ACKED)[0])


def unread(sock: socket.socket) -> int:
    """Return how many bytes wait to be read."""
    return int(struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))[0])


def _cookie(sock: socket.socket) -> bytes:
    return sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8)
