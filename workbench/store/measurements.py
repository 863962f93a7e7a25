"""Figures that vary from run to run (latency, memory): kept beside an artifact, not in its manifest."""

from __future__ import annotations

import time
from dataclasses import dataclass

from .database import Database


@dataclass(frozen=True)
class Measurement:
    """One measured figure of an artifact.

    Parameters
    ----------
    digest, key
        The artifact and what was measured (``latency_ratio``).
    value, unit
        The figure; unit ``ratio``, ``ms``, ``bytes``, ...
    baseline
        What a ratio compares with, in words; every ratio names it.
    created_s
        Unix seconds.
    """

    digest: str
    key: str
    value: float
    unit: str
    baseline: str
    created_s: float


class Measurements:
    """The measured figures of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set(self, digest: str, key: str, value: float, unit: str, baseline: str = "") -> None:
        """Record a figure, replacing the former one of the same key."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO measurements VALUES (?, ?, ?, ?, ?, ?)",
                (digest, key, float(value), unit, baseline, time.time()),
            )

    def of(self, digest: str) -> list[Measurement]:
        """Return the figures of an artifact, by key."""
        rows = self._database.query("SELECT * FROM measurements WHERE digest = ? ORDER BY key", (digest,))
        return [Measurement(*row) for row in rows]
