"""Sweeps and their trials: what is to be tried, and how far each trial came, so that a killed sweep goes on."""

from __future__ import annotations

import builtins
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UnknownRun
from . import owner
from .database import Database


@dataclass(frozen=True)
class Trial:
    """One trial of a sweep.

    Parameters
    ----------
    key
        What is tried, e.g. ``int8/onnxruntime``.
    state
        ``pending running done refused stopped failed``.
    facts
        What is known so far (JSON-able): scores by rung, digests, an error.
    """

    key: str
    state: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class SweepRow:
    """One sweep.

    Parameters
    ----------
    id, title
        Its id and what was typed.
    plan
        What is to be tried, JSON-able.
    state
        ``running done cancelled failed``, or ``interrupted`` when its driver is gone.
    driver
        Owner text of the driving process.
    created_s
        Unix seconds.
    """

    id: str
    title: str
    plan: Mapping[str, Any]
    state: str
    driver: str
    created_s: float


class Sweeps:
    """The sweeps of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, title: str, plan: Mapping[str, Any], keys: builtins.list[str]) -> str:
        """Record a sweep driven by this process with one pending trial a key; return its id."""
        sweep = "s" + secrets.token_hex(5)
        now = time.time()
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO sweeps VALUES (?, ?, ?, 'running', ?, ?)",
                (sweep, title, _text(plan), owner.current(), now),
            )
            connection.executemany(
                "INSERT INTO trials VALUES (?, ?, 'pending', '{}', ?)", [(sweep, key, now) for key in keys]
            )
        return sweep

    def get(self, sweep: str) -> SweepRow:
        """Return one sweep.

        Raises
        ------
        UnknownRun
            If no sweep has this id.
        """
        rows = self._database.query("SELECT * FROM sweeps WHERE id = ?", (sweep,))
        if not rows:
            raise UnknownRun(f"no sweep has the id {sweep!r}", where=sweep, fix="%mlops sweep --list")
        return _row(rows[0])

    def list(self, limit: int = 20) -> builtins.list[SweepRow]:
        """Return the newest sweeps, newest first."""
        sql = "SELECT * FROM sweeps ORDER BY created_s DESC, id LIMIT ?"
        return [_row(row) for row in self._database.query(sql, (limit,))]

    def take(self, sweep: str) -> bool:
        """Become the driver of a sweep; False when its driver is another process that lives."""
        with self._database.transaction() as connection:
            row = connection.execute("SELECT driver, state FROM sweeps WHERE id = ?", (sweep,)).fetchone()
            mine = row["driver"] == owner.current()
            if row["state"] == "running" and not mine and owner.alive(row["driver"]):
                return False
            connection.execute(
                "UPDATE sweeps SET driver = ?, state = 'running' WHERE id = ?", (owner.current(), sweep)
            )
        return True

    def end(self, sweep: str, state: str) -> None:
        """Record how a sweep ended."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE sweeps SET state = ? WHERE id = ?", (state, sweep))

    def trials(self, sweep: str) -> builtins.list[Trial]:
        """Return the trials of a sweep, by key."""
        rows = self._database.query("SELECT * FROM trials WHERE sweep = ? ORDER BY key", (sweep,))
        return [Trial(row["key"], row["state"], json.loads(row["facts"])) for row in rows]

    def move(self, sweep: str, key: str, state: str, facts: Mapping[str, Any]) -> None:
        """Record how far a trial is."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE trials SET state = ?, facts = ?, updated_s = ? WHERE sweep = ? AND key = ?",
                (state, _text(facts), time.time(), sweep, key),
            )


def _row(row: Any) -> SweepRow:
    state = row["state"]
    if state == "running" and not owner.alive(row["driver"]):
        state = "interrupted"
    return SweepRow(row["id"], row["title"], json.loads(row["plan"]), state, row["driver"], row["created_s"])


def _text(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"))
