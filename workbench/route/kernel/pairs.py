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

CONNECT_S = 0.5

_SO_COOKIE = 57
_BYTES_ACKED = 120  # in struct tcp_info


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


def wanted(control: layout.Control) -> tuple[int, ...]:
    """Return the track slots that have traffic, stable first."""
    tracks = (control.stable,) if control.stable < layout.TRACKS else ()
    canary = control.canary if control.state == layout.ACTIVE else layout.NO_TRACK
    return (*tracks, canary) if canary < layout.TRACKS else tracks


def connect_track(tables: Tables, port: int, slot: int) -> socket.socket:
    """Return a connection to a replica of one track, through the service's own address, and so judged there.

    Raises
    ------
    OSError
        If no replica of it lives.
    TraceError
        If the kernel takes no mark.
    """
    sock = socket.socket()
    try:
        sock.bind(("127.0.0.1", 0))
        tables.marks.set(_mark(sock), key_bytes(slot))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(CONNECT_S)
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
    except BaseException:
        hang_up(tables, sock)
        raise
    return sock


def hang_up(tables: Tables, sock: socket.socket) -> None:
    """Close a connection to a track that has not entered."""
    unmark(tables, sock)
    sock.close()


def unmark(tables: Tables, sock: socket.socket) -> None:
    """Forget for which track a connection was: its port may be a stranger's later."""
    with contextlib.suppress(OSError):
        tables.marks.remove(_mark(sock))


def acknowledged(sock: socket.socket) -> int:
    """Return how many bytes sent to a peer it has acknowledged."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return int(struct.unpack_from("<Q", info, _BYTES_ACKED)[0])


def unread(sock: socket.socket) -> int:
    """Return how many bytes wait to be read."""
    return int(struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))[0])


def _mark(sock: socket.socket) -> bytes:
    """Return a connection's key in the map of marks: its address and port in the network's order."""
    host, port = sock.getsockname()
    address = struct.unpack("=I", socket.inet_aton(host))[0]
    return int(address << 16 | socket.htons(port)).to_bytes(8, "little")


def _cookie(sock: socket.socket) -> bytes:
    return sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8)
