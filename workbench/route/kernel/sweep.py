"""Remove what dead deployments left pinned: those whose store was deleted while their processes were killed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from ...bpf.libbpf import Library
from ...errors import WorkbenchError
from . import pinned

GRACE_S = 600.0
"""A route younger than this may be waiting for its first replica."""


def sweep(*, grace_s: float = GRACE_S) -> int:
    """Unpin this user's routes that have no living replica; return how many.

    A deployment that comes back later finds nothing pinned, and pins again. Without the rights to look there
    is nothing to do: 0.
    """
    found = list(_folders())
    dead = [folder for folder in found if is_dead(Library(), folder, grace_s)]
    for folder in dead:
        pinned.remove(folder)
    return len(dead)


def _folders() -> Iterator[Path]:
    try:
        yield from (pinned.PINS / str(os.geteuid())).iterdir()
    except OSError:  # nothing was ever pinned, or it is not ours to see
        return


def is_dead(library: Library, folder: Path, grace_s: float) -> bool:
    """Return whether what is pinned in a folder has no living replica, and had time enough for one."""
    try:
        if time.time() - folder.stat().st_mtime < grace_s:
            return False
        return not any(Path(f"/proc/{pid}").exists() for pid in pinned.replica_pids(library, folder))
    except FileNotFoundError:  # it was unstaged meanwhile
        return False
    except WorkbenchError:  # half a route: its loading was killed
        return True
