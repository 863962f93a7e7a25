"""Where versions and replicas lie in the maps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ..state import Endpoint
from . import layout
from .pinned import Pinned, key_bytes


def find_slot(pinned: Pinned, version: int) -> int | None:
    """Return the track slot that holds a version."""
    versions = list(pinned.control.versions)
    return versions.index(version) if version in versions else None


def version_at(control: layout.Control, slot: int) -> int:
    """Return the version in a track slot; 0 for none."""
    return int(control.versions[slot]) if slot < layout.TRACKS else 0


def positions(slot: int) -> range:
    """Return the places of a track slot's replicas."""
    return range(slot * layout.PER_TRACK, (slot + 1) * layout.PER_TRACK)


def position(pinned: Pinned, version: int, endpoint: Endpoint) -> int | None:
    """Return the place of a replica whose listener the kernel has."""
    slot = find_slot(pinned, version)
    word = layout.drain_word(endpoint.id)
    for index in positions(slot) if slot is not None else ():
        one = pinned.replicas[index]
        if one.pid == endpoint.pid and one.word == word and has_listener(pinned, index):
            return index
    return None


def grpc_place(index: int) -> int:
    """Return the place of a replica's listener for gRPC."""
    return layout.REPLICAS + index


def has_listener(pinned: Pinned, index: int) -> bool:
    """Whether a listener is entered at a place."""
    return pinned.listeners.get(key_bytes(index)) is not None


def descendants(pid: int) -> Iterator[int]:
    """Yield the processes that a process has forked so far, and theirs.

    Examples
    --------
    >>> list(descendants(2**22 + 1))
    []
    """
    with contextlib.suppress(OSError):  # it has gone, or the machine hides processes
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                for child in (task / "children").read_text().split():
                    yield int(child)
                    yield from descendants(int(child))
