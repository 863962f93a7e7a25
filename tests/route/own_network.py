"""Run something in a network of its own: as a new machine would, it has a loopback interface and all its ports."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1

T = TypeVar("T")


def in_own_network(body: Callable[[], T]) -> T:
    """Run `body` in a thread that has left this process's network; what it starts inherits its own. Needs root."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(_leave).result()
        return threads.submit(body).result()


def only_ports(first: int, last: int) -> None:
    """Let the system choose among these ports only."""
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(f"{first} {last}")


def _leave() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, asked), 16)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
