"""Remove what dead deployments left pinned: those whose store was deleted while their processes were killed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from ...errors import WorkbenchError
from . import pinned
from .router import PINS

GRACE_S = 600.0
"""A route younger than this may be waiting for its first replica."""


def sweep(*, grace_s: float = GRACE_S) -> int:
    """Unpin this user's routes that have no living replica; return how many.

    A deployment that comes back later finds nothing pinned, and pins again. Without the rights to look there
    is nothing to do: 0.
    """
    return sum(_remove(folder) for folder in _folders() if _is_dead(folder, grace_s))


def _folders() -> Iterator[Path]:
    try:
        yield from (PINS / str(os.geteuid())).iterdir()
    except OSError:  # nothing was ever pinned, or it is not ours to see
        return


def _is_dead(folder: Path, grace_s: float) -> bool:
    from ...bpf.libbpf import Library

    try:
        if time.time() - folder.stat().st_mtime < grace_s:
            return False
        return not any(Path(f"/proc/{pid}").exists() for pid in pinned.replica_pids(Library(), folder))
    except FileNotFoundError:  # it was unstaged meanwhile
        return False
    except WorkbenchError:  # half a route: its loading was killed
        return True


def _remove(folder: Path) -> bool:
    pinned.remove(folder)
    return True
