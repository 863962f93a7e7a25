"""The router's part in a split by request: the program and its maps, and what the connector is handed of them."""

from __future__ import annotations

import os
from pathlib import Path

from ...bpf.libbpf import BpfObject, Library, open_pinned
from .layout import CONNECTOR
from .pinned import Pinned, opened, set_number

TABLES = ("sockets", "members", "pairs", "tallies", "marks", "control")
"""What the connector gets, in this order; the last for reading only: it says whose ports are steered."""

_MAPS = ("sockets", "members", "pairs", "tallies")


def load_requests(library: Library, folder: Path, program: bytes) -> None:
    """Load and pin the program that carries requests beside a deployment's others, unless that was done.

    Raises
    ------
    TraceError, NoPrivilege
        If the kernel refuses; nothing stays behind.
    """
    if (folder / _MAPS[-1]).exists():
        return
    with opened(library, folder, ["control"]) as shared:
        loaded = BpfObject(library, "requests", program, shared)
    try:
        loaded.give_to_sockets("carry", "sockets")
        loaded.pin(_MAPS, folder)
    except BaseException:
        for name in _MAPS:
            (folder / name).unlink(missing_ok=True)
        raise
    finally:
        loaded.close()


def connect(library: Library, folder: Path, pinned: Pinned, listener: int) -> list[int]:
    """Give the deployment's clients to a connector's listener; return the descriptors of :data:`TABLES`.

    The kernel forgets the listener when its process ends, and splits by connection then.
    """
    handles: list[int] = []
    try:
        for name in TABLES:
            handles.append(open_pinned(library, folder / name, 4, 8, read_only=name == "control").fd)
        set_number(pinned.listeners, CONNECTOR, listener)
    except BaseException:  # one that does not listen, say: this process outlives many such
        for handle in handles:
            os.close(handle)
        raise
    pinned.control.by_request = 1
    return handles
