"""Collect what nothing refers to: unlisted folders, unused artifacts and blobs, scratch of dead processes.

Kept: every artifact that a name, a run or a deployment refers to, and all their ancestors. An unreferenced
artifact younger than the grace period is kept too, because whoever put it may be about to refer to it.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from . import owner, reserve
from .artifacts import Artifacts
from .blobs import remove_tree
from .database import Database, exclusive

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

_ROOTS = """
SELECT digest FROM names UNION SELECT digest FROM run_artifacts
UNION SELECT digest FROM artifacts WHERE created_s > ?
"""


@dataclass(frozen=True)
class GcReport:
    """What a collection removed, and the bytes of blobs it freed."""

    artifacts: int
    orphans: int
    blobs: int
    scratch: int
    freed_bytes: int


def referred(database: Database, since_s: float = float("inf")) -> set[str]:
    """Return the digests to keep: roots (and artifacts put after `since_s`) with all their ancestors."""
    keep = {str(row["digest"]) for row in database.query(_ROOTS, (since_s,))}
    for row in database.query("SELECT state FROM deployments"):
        keep.update(_DIGEST.findall(row["state"]))
    parents: dict[str, list[str]] = {}
    for row in database.query("SELECT child, parent FROM lineage"):
        parents.setdefault(row["child"], []).append(row["parent"])
    waiting = list(keep)
    while waiting:
        for parent in parents.get(waiting.pop(), []):
            if parent not in keep:
                keep.add(parent)
                waiting.append(parent)
    return keep


def collect(home: Path, database: Database, artifacts: Artifacts, grace_s: float) -> GcReport:
    """Remove everything that nothing refers to and return what went."""
    reserve.give_up(database.reserve)  # a full disk is why people collect
    with exclusive(home / "put.lock"):
        keep = referred(database, time.time() - grace_s)
        unused = [row for row in artifacts.list() if row.digest not in keep]
        for row in unused:
            artifacts.discard(row.digest)
        orphans = _orphans(home, {row.digest for row in artifacts.list()})
        for folder in orphans:
            remove_tree(folder)
        blobs = [path for path in (home / "blobs").iterdir() if path.stat().st_nlink == 1]
        freed = sum(path.stat().st_size for path in blobs)
        for path in blobs:
            path.unlink()
        scratch = _collect_scratch(home / "scratch")
    reserve.keep(database.reserve)
    return GcReport(len(unused), len(orphans), len(blobs), scratch, freed)


def _orphans(home: Path, listed: set[str]) -> list[Path]:
    return [path for path in (home / "artifacts").iterdir() if f"sha256:{path.name}" not in listed]


def _collect_scratch(scratch: Path) -> int:
    dead = [path for path in scratch.iterdir() if not owner.holds(path)]
    for path in dead:
        remove_tree(path)
    return len(dead)
