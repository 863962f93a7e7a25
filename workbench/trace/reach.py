"""How far a probe of a function reaches: one process, or all that map the file it lies in.

A probe for one process is put there a moment after the process began, so its first calls are missed. A probe for the
file is in place before a process maps it; but strangers who use the file would trap into the kernel at each call as
well, only to be found not traced. So a file is probed as a whole where nobody else uses it and its owner asks.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from .identity import is_descendant
from .symbols.files import device_and_inode

_Key = tuple[int, int]


class Reach:
    """Which files of a session are probed for all that map them.

    Parameters
    ----------
    uid
        The client's user; only files of its own are (root's are all).
    client
        The client's process, as the caller sees it: it asked, so it may pay.
    root
        The process at the root of those traced.
    """

    def __init__(self, uid: int, client: int, root: int) -> None:
        self._uid, self._client, self._root = uid, client, root
        self._decided: dict[_Key, bool] = {}

    def settled(self, files: Sequence[int]) -> set[int]:
        """Return the indexes of files that are probed for everybody already."""
        return {index for index, file in enumerate(files) if self._decided.get(_key(os.fstat(file)))}

    def decide(self, files: Sequence[int]) -> set[int]:
        """Return the indexes of files that may be probed for everybody."""
        statuses = [os.fstat(file) for file in files]
        open_ = {
            _mark(status)
            for status in statuses
            if self._uid in (0, status.st_uid) and _key(status) not in self._decided
        }
        alone = open_ - self._used_elsewhere(open_)
        return {
            index
            for index, status in enumerate(statuses)
            if self._decided.get(_key(status), _mark(status) in alone)
        }

    def keep(self, files: Sequence[int], everywhere: Collection[int]) -> None:
        """Remember how files are probed from now on."""
        for index, file in enumerate(files):
            self._decided.setdefault(_key(os.fstat(file)), index in everywhere)

    def _used_elsewhere(self, marks: set[bytes]) -> set[bytes]:
        used: set[bytes] = set()
        for pid, maps in _everybody() if marks else ():
            found = {mark for mark in marks - used if mark in maps}
            if found and pid != self._client and not is_descendant(pid, self._root):
                used |= found
                if used == marks:
                    break
        return used


def _key(status: os.stat_result) -> _Key:
    return status.st_dev, status.st_ino


def _mark(status: os.stat_result) -> bytes:
    """Return how a process's map names the file."""
    return " {} {} ".format(*device_and_inode(status)).encode()


def _everybody() -> Iterator[tuple[int, bytes]]:
    """Yield the map of each process we may look at: all, but for those with rights that even root here lacks."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield int(folder.name), (folder / "maps").read_bytes()
