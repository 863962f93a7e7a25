"""The folder of a Ray worker's store: it goes with the worker, and what a killed one left goes at the next start.

Ray ends workers without a word. Each therefore holds a lock on its folder for as long as it lives: the kernel frees
it at any death, and it tells across pid namespaces, where a pid would not.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import tempfile
from pathlib import Path

from ...store.blobs import remove_tree

_PREFIX = "mlops-ray-"


def open_home() -> Path:
    """Return a new folder that is this process's until it ends, after removing those whose owner is gone."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # gone meanwhile, in use, or another user's
            _remove_abandoned(path)
    home = Path(tempfile.mkdtemp(prefix=_PREFIX))
    fcntl.flock(_open(home), fcntl.LOCK_EX)  # never closed: it is held until this process ends
    atexit.register(remove_tree, home)
    return home


def _remove_abandoned(path: Path) -> None:
    handle = _open(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if any(path.iterdir()):  # an empty one is new: its owner is about to lock it
            remove_tree(path)
    finally:
        os.close(handle)


def _open(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
