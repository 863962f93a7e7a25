"""A route's state on disk: the one thing its controllers and its data path share.

The controllers (push, promote, roll-back, supervisor) and the data path's own sentinel change it; the data
path follows it. So a promotion needs no restart of anything, and the split survives the death of whoever
wrote it. A change replaces the whole file at once, under a lock that the kernel releases when its holder
dies; a reader therefore never sees half a state and never waits.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from .. import atomic, codec
from ..errors import StagingError
from .state import RouteState


@contextlib.contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold a lock that the kernel releases when its holder dies."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


class StateFile:
    """The file of one route.

    Examples
    --------
    >>> import tempfile
    >>> from workbench.route.state import Endpoint, RouteState, Track, swap
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = StateFile(Path(folder.name) / "route.json")
    >>> file.create(RouteState())
    >>> file.update(lambda state: swap(state, Track(1, (Endpoint("1-0", "127.0.0.1", 8001),)))).generation
    1
    >>> folder.cleanup()
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, state: RouteState) -> None:
        """Write the first state unless there is one."""
        with self._lock():
            if not self.path.exists():
                atomic.write_bytes(self.path, codec.dumps(state).encode())

    def read(self) -> RouteState:
        """Return the state.

        Raises
        ------
        StagingError
            If the file is missing or holds something else.
        """
        try:
            state = codec.loads(self.path.read_bytes())
        except (OSError, ValueError) as error:
            raise StagingError(
                f"the route's state cannot be read: {error}",
                where=str(self.path),
                fix="unstage and push again",
            ) from error
        if not isinstance(state, RouteState):
            raise StagingError("the file holds no route state", where=str(self.path))
        return state

    def update(self, change: Callable[[RouteState], RouteState]) -> RouteState:
        """Apply one transition and return what was written; the generation goes up unless nothing changed."""
        with self._lock():
            before = self.read()
            after = change(before)
            if after != before:
                after = replace(after, generation=before.generation + 1)
                atomic.write_bytes(self.path, codec.dumps(after).encode())
        return after

    def watch(self) -> Watch:
        """Return a follower for the data path."""
        return Watch(self)

    def _lock(self) -> AbstractContextManager[None]:
        # A file of its own: the state file is replaced by every change, and a lock would go with the old one.
        return file_lock(self.path.with_suffix(".lock"))


class Watch:
    """Follows a state file cheaply enough to ask before each request (one ``stat``, about a microsecond)."""

    def __init__(self, file: StateFile) -> None:
        self._file = file
        self._seen = self._signature()
        self.state = file.read()

    def changed(self) -> bool:
        """Load the state if the file was replaced; return whether it was.

        A file that is gone or unreadable keeps the state already known: the data path outlives controllers.
        """
        signature = self._signature()
        if signature == self._seen or signature is None:
            return False
        try:
            self.state = self._file.read()
        except StagingError:
            return False
        self._seen = signature
        return True

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            found = self._file.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
