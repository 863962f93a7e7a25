"""Whether this replica should be left: by its own signal, or because the route says so.

The route's state file is text: ``draining`` asks clients to go elsewhere, anything else (or no file) means
serving. It is looked at on every answer (one ``stat``), so that no controller has to be alive to drain.

A route in the kernel has a word for each replica instead, in memory that the replica maps for reading: not 0
means leaving. The program that takes a canary's traffic away sets it itself.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from ..errors import InputError

DRAINING = b"draining"


_WORD_BYTES = 8  # the lowest byte: leave; the next: the track
_TRACKS = {1: "stable", 2: "canary"}


class Word:
    """One replica's word in the kernel's memory.

    Parameters
    ----------
    place
        ``DESCRIPTOR:INDEX``: an inherited descriptor of the words, and which of them.

    Raises
    ------
    InputError
        If it is written otherwise, or the descriptor cannot be read.
    """

    def __init__(self, place: str) -> None:
        try:
            handle, index = (int(part) for part in place.split(":"))
            page, self._at = divmod(index * _WORD_BYTES, mmap.PAGESIZE)
            self._words = mmap.mmap(
                handle, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ, offset=page * mmap.PAGESIZE
            )
            os.close(handle)  # what runs here later must find nothing to write to
        except (ValueError, OSError) as error:
            raise InputError(f"{place!r} names no word: {error}", where="--drain-word") from error

    def is_set(self) -> bool:
        """Whether the clients should go."""
        return self._words[self._at] != 0

    @property
    def track(self) -> str:
        """The track this replica serves on now; empty before it has traffic."""
        return _TRACKS.get(self._words[self._at + 1], "")


class Drain:
    """The drain state of one replica.

    Parameters
    ----------
    state_file
        The route's word for this replica; ``None`` when there is no route.
    word
        The same from a route in the kernel.
    """

    def __init__(self, state_file: Path | None = None, word: Word | None = None) -> None:
        self._file = state_file
        self._word = word
        self._seen: tuple[int, int, int] | None = None
        self._told = False
        self._stopping = False

    def begin(self) -> None:
        """Start to drain for good: the process was asked to stop."""
        self._stopping = True

    @property
    def track(self) -> str:
        """The track that the route says this replica serves on; empty where it says nothing."""
        return self._word.track if self._word is not None else ""

    @property
    def in_kernel(self) -> bool:
        """Whether a route in the kernel watches this replica."""
        return self._word is not None

    @property
    def active(self) -> bool:
        """Whether every answer should tell its client to connect anew."""
        if self._stopping or (self._word is not None and self._word.is_set()):
            return True
        return self._told_by_route()

    def _told_by_route(self) -> bool:
        if self._file is None:
            return False
        try:
            stat = self._file.stat()
            mark = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if mark != self._seen:
                self._told = self._file.read_bytes().strip() == DRAINING
                self._seen = mark
        except FileNotFoundError:
            self._seen, self._told = None, False
        except OSError:
            pass  # no word that can be read: what was last known holds, and the answer goes out
        return self._told
