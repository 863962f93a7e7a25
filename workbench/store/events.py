"""What happened, in order: one sequence for the whole store, so that a reader can replay from any point."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .database import Database


@dataclass(frozen=True)
class Event:
    """One event.

    Parameters
    ----------
    seq
        Its place in the store's single sequence; it only grows.
    run_id, step
        The run and the step's position in it (-1 for the run itself).
    kind
        ``run.started run.done run.failed run.cancelled step.started step.progress step.done step.failed ...``
    payload
        JSON-able facts; ``step.progress`` has ``{"message": str, "fraction": float | None}``.
    created_s
        Unix seconds.
    """

    seq: int
    run_id: str
    step: int
    kind: str
    payload: Mapping[str, Any]
    created_s: float


class Events:
    """The event log of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, run_id: str, step: int, kind: str, payload: Mapping[str, Any] | None = None) -> int:
        """Add an event and return its sequence number."""
        text = json.dumps(payload or {}, separators=(",", ":"))
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO events (run_id, step, kind, payload, created_s) VALUES (?, ?, ?, ?, ?)",
                (run_id, step, kind, text, time.time()),
            )
            return int(cursor.lastrowid or 0)

    def since(self, seq: int = 0, run_id: str | None = None, limit: int = 1000) -> list[Event]:
        """Return up to `limit` events after `seq`, oldest first, of one run or of all."""
        where, values = ("AND run_id = ?", (seq, run_id, limit)) if run_id else ("", (seq, limit))
        rows = self._database.query(
            f"SELECT * FROM events WHERE seq > ? {where} ORDER BY seq LIMIT ?",  # noqa: S608
            values,
        )
        return [_event(row) for row in rows]

    def newest(self, run_id: str, kind: str) -> Event | None:
        """Return the newest event of a kind of one run."""
        rows = self._database.query(
            "SELECT * FROM events WHERE run_id = ? AND kind = ? ORDER BY seq DESC LIMIT 1", (run_id, kind)
        )
        return _event(rows[0]) if rows else None

    def of_kind(self, kind: str, limit: int = 1000) -> list[Event]:
        """Return the newest events of a kind, newest first."""
        sql = "SELECT * FROM events WHERE kind = ? ORDER BY seq DESC LIMIT ?"
        return [_event(row) for row in self._database.query(sql, (kind, limit))]

    def last(self) -> int:
        """Return the newest sequence number, 0 when there is none."""
        return int(self._database.query("SELECT coalesce(max(seq), 0) AS seq FROM events")[0]["seq"])


def _event(row: sqlite3.Row) -> Event:
    payload = json.loads(row["payload"])
    return Event(row["seq"], row["run_id"], row["step"], row["kind"], payload, row["created_s"])
