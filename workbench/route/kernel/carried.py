"""Requests of kept connections that the kernel carries just now, for who must know whether a track has any left.

One that the program has sent may still be in the kernel's hands, where the replica's socket does not show it yet.
"""

from __future__ import annotations

import ctypes as c

from . import layout
from .pairs import wanted
from .pinned import Pinned, key_bytes

_WORDS = c.sizeof(layout.Pair) // 4
_PHASE = layout.Pair.phase.offset // 4


def carried(pinned: Pinned, slot: int) -> int:
    """Return how many requests are on their way to a track slot without traffic, or unanswered there.

    Of one with traffic it is 0: which replica they are for is not known. Nor does a connection count that stays with
    its track (`stuck`), as it does not say where a request ends.
    """
    if slot in wanted(pinned.control) or not (pinned.folder / "pairs").exists():
        return 0
    phases = memoryview(pinned.pairs).cast("B").cast("I")[_PHASE::_WORDS].tolist()
    busy = (index for index, phase in enumerate(phases) if phase in (layout.ASKED, layout.ANSWERED))
    return sum(_is_for(pinned, index, slot) for index in busy)


def _is_for(pinned: Pinned, index: int, slot: int) -> bool:
    pair = pinned.pairs[index]
    if pair.slot != slot or pair.stuck:
        return False
    # The kernel takes a socket out when it is closed, also when its holder was killed: what is left then says nothing.
    return pinned.sockets.get(key_bytes(index * layout.ENDS)) is not None
