"""How artifacts came about, beside them: environments by digest, and who made what, where and when.

A manifest holds only what equal runs have in common. What differs (the machine, the person, the moment, the
state of a working tree) lies here, one record for each step of each run that made the artifact.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .database import Database

_OF = """
SELECT origins.*, (
    SELECT facts FROM run_sources AS tree WHERE tree.run_id = origins.run_id
    AND tree.position <= origins.position ORDER BY tree.position DESC LIMIT 1
) AS sources FROM origins WHERE digest = ? ORDER BY created_s
"""


@dataclass(frozen=True)
class Origin:
    """One time an artifact was made.

    Parameters
    ----------
    digest
        The artifact.
    run_id, position
        The run and the step of it.
    facts
        What the step's process saw: host, user, processor, memory, kernel.
    sources
        What the run's driver saw of the working tree; empty when it never looked.
    created_s
        Unix seconds, by the clock of the machine that made it.
    """

    digest: str
    run_id: str
    position: int
    facts: Mapping[str, Any]
    sources: Mapping[str, Any]
    created_s: float


class Origins:
    """The records of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, digest: str, run_id: str, position: int, facts: Mapping[str, Any]) -> None:
        """Record that a step made an artifact; the first record of the same step stays."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO origins VALUES (?, ?, ?, ?, ?)",
                (digest, run_id, position, _text(facts), time.time()),
            )

    def of(self, digest: str) -> list[Origin]:
        """Return every time an artifact was made, oldest first."""
        return [
            Origin(
                row["digest"],
                row["run_id"],
                row["position"],
                json.loads(row["facts"]),
                json.loads(row["sources"] or "{}"),
                row["created_s"],
            )
            for row in self._database.query(_OF, (digest,))
        ]

    def note_sources(self, run_id: str, position: int, facts: Mapping[str, Any]) -> None:
        """Record the working tree that a run's steps from `position` on were started from."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO run_sources VALUES (?, ?, ?)", (run_id, position, _text(facts))
            )


class Environments:
    """Environment locks by digest (a manifest names the digest), and what their packages hold, beside them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: set[str] = set()

    def note(self, digest: str, lock: str) -> None:
        """Record a lock's canonical text; known ones cost nothing."""
        if digest in self._known:
            return
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO environments VALUES (?, ?, ?)", (digest, lock, time.time())
            )
        self._known.add(digest)

    def get(self, digest: str) -> str | None:
        """Return a lock's text, None for one that was never recorded here."""
        rows = self._database.query("SELECT lock FROM environments WHERE digest = ?", (digest,))
        return str(rows[0]["lock"]) if rows else None


def _text(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"))
