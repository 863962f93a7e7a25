"""Who made an artifact, where, from which working tree: noted beside it, never in it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import StoreError
from ..package.environment import lock
from .machine import machine
from .working_tree import working_tree

if TYPE_CHECKING:
    from ..store import Store

OBJECTS = "sources"
"""Folder of the store that holds what git has no object of."""


def note(store: Store, digest: str, run_id: str, position: int) -> None:
    """Record that a step of this process made an artifact."""
    note_environment(store)
    store.origins.note(digest, run_id, position, machine())


def note_environment(store: Store) -> str:
    """Record the environment of this process, and return its digest."""
    current = lock()
    store.environments.note(current.digest, current.text)
    return current.digest


class TreeNote:
    """Notes, once for a driven run, the working tree it was started from; works while steps run."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store, self._run_id = store, run_id
        self._thread: threading.Thread | None = None

    def begin(self, position: int) -> None:
        """Look at the working tree beside the first step that really runs; a cached run costs nothing."""
        if self._thread is None:
            where = Path.cwd()
            self._thread = threading.Thread(target=self._look, args=(where, position), name="working tree")
            self._thread.start()

    @contextlib.contextmanager
    def finished(self) -> Iterator[None]:
        """Wait at the end until the note is written."""
        try:
            yield
        finally:
            if self._thread is not None:
                self._thread.join()

    def _look(self, where: Path, position: int) -> None:
        facts = working_tree(where, self._store.home / OBJECTS)
        with contextlib.suppress(StoreError):  # a full disk: the step's own writes say so
            self._store.origins.note_sources(self._run_id, position, facts)
