"""What the JSON part of a message said the last time: on one connection most requests differ in their values alone.

Reading and writing that JSON is most of what a small model's request costs where no network is between. So each end
of a local connection remembers the heads it has seen, byte for byte, with what they mean. Only messages that were
read in full before are remembered, and only those whose tensors are all raw and aligned; every other one is read
by :mod:`~workbench.serve.protocol` each time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from .messages import Parts
from .tensors import Array, to_bytes

Meaning = TypeVar("Meaning")
MOST_HEADS, LONGEST_HEAD = 64, 4096


@dataclass(frozen=True)
class _Place:
    """Where a tensor lies behind the head."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    count: int
    offset: int


@dataclass(frozen=True)
class _Known(Generic[Meaning]):
    size: int
    places: tuple[_Place, ...]
    meaning: Meaning


class ReadHeads(Generic[Meaning]):
    """Heads that one end of a connection has read. Not for several threads at once.

    Parameters
    ----------
    read
        Reads a message in full: ``(body, header size) -> meaning, arrays by name``.
    """

    def __init__(self, read: Callable[[memoryview, int], tuple[Meaning, Mapping[str, Array]]]) -> None:
        self._read = read
        self._known: dict[bytes, _Known[Meaning]] = {}

    def read(self, body: memoryview, header_size: int) -> tuple[Meaning, Mapping[str, Array]]:
        """Return what `body` means and its arrays, which lie in it; raises as the full reading does."""
        head = bytes(body[:header_size]) if 0 < header_size <= LONGEST_HEAD else b""
        known = self._known.get(head)
        if known is not None and known.size == len(body):
            return known.meaning, {
                place.name: np.frombuffer(body, place.dtype, place.count, place.offset).reshape(place.shape)
                for place in known.places
            }
        meaning, arrays = self._read(body, header_size)
        places = _places(arrays, header_size)
        raw = sum(array.nbytes for array in arrays.values()) == len(body) - len(head)  # else some were JSON
        if head and raw and places is not None:
            _make_room(self._known)
            self._known[head] = _Known(len(body), places, meaning)
        return meaning, arrays


class WrittenHeads:
    """Heads that one end of a connection has written. Not for several threads at once."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], bytes] = {}

    def parts(
        self, facts: tuple[object, ...], arrays: Mapping[str, Array], write: Callable[[], Parts]
    ) -> Parts:
        """Return a message as `write` does; `facts` is all it says beside the arrays' names, dtypes and shapes."""
        key = (*facts, *((name, array.dtype, array.shape) for name, array in arrays.items()))
        head = self._known.get(key)
        if head is not None:
            return Parts(head, tuple(to_bytes(array) for array in arrays.values()))
        parts = write()
        if len(parts.raw) == len(arrays):  # else values are in the head
            _make_room(self._known)
            self._known[key] = parts.head
        return parts


def _make_room(known: dict[Any, Any]) -> None:
    """Forget everything when full: whoever names each request anew would keep out what does repeat."""
    if len(known) >= MOST_HEADS:
        known.clear()


def _places(arrays: Mapping[str, Array], offset: int) -> tuple[_Place, ...] | None:
    """Return where the arrays lie; ``None`` if one is empty, or must be looked at or copied every time."""
    places = []
    for name, array in arrays.items():
        if array.dtype.kind == "b" or offset % array.dtype.itemsize or not array.size:
            return None
        places.append(_Place(name, array.dtype, array.shape, math.prod(array.shape), offset))
        offset += array.nbytes
    return tuple(places)
