"""Results of steps by cache key: a step whose key is known need not run again."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from .database import Database


class Results:
    """The cached results of a store; they keep no artifact alive, so a reader checks that outputs exist."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> Mapping[str, Any] | None:
        """Return the result recorded under a key, or None."""
        rows = self._database.query("SELECT result FROM cache WHERE key = ?", (key,))
        return json.loads(rows[0]["result"]) if rows else None

    def set(self, key: str, result: Mapping[str, Any]) -> None:
        """Record a result."""
        text = json.dumps(result, sort_keys=True, separators=(",", ":"))
        with self._database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO cache VALUES (?, ?, ?)", (key, text, time.time()))
