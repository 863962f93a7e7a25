"""Runs of recipes and the steps in them.

States of a run and of a step: ``pending running done failed cancelled``. A run written as running whose
driver and step processes are both gone reads as ``interrupted``: it can be resumed.
"""

from __future__ import annotations

import builtins
import json
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import UnknownRun
from . import owner
from .database import Database
from .run_rows import ENDED, INTERRUPTED, RunRow, StepRow, run_of, step_of

_SUMMARY = """
SELECT runs.*, count(steps.position) AS steps_total, total(steps.state = 'done') AS steps_done,
       total(steps.cached) AS steps_cached,
       group_concat(CASE steps.state WHEN 'running' THEN steps.owner END) AS owners
FROM {source} AS runs LEFT JOIN steps ON steps.run_id = runs.id
GROUP BY runs.id ORDER BY runs.created_s DESC, runs.id DESC
"""


class Runs:
    """The runs of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        recipe_json: str,
        verbs: Iterable[str],
        *,
        title: str = "",
        executor: str = "local",
        origin: str = "",
    ) -> str:
        """Record a pending run with one pending step a verb, driven by this process; return its id."""
        run_id = "r" + secrets.token_hex(5)
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO runs (id, title, recipe, executor, origin, state, driver, created_s)"
                " VALUES (?, ?, ?, ?, ?, 'pending', ?, ?)",
                (run_id, title, recipe_json, executor, origin, owner.current(), time.time()),
            )
            connection.executemany(
                "INSERT INTO steps (run_id, position, verb, state) VALUES (?, ?, ?, 'pending')",
                [(run_id, position, verb) for position, verb in enumerate(verbs)],
            )
        return run_id

    def get(self, run_id: str) -> RunRow:
        """Return one run with its steps.

        Raises
        ------
        UnknownRun
            If no run has this id.
        """
        row = self._get(run_id)
        # It may have ended, and its processes with it, after it was read and before they were looked for. Whoever
        # is gone writes no more, so a second look tells.
        return self._get(run_id) if row.state == INTERRUPTED else row

    def list(self, limit: int = 100) -> builtins.list[RunRow]:
        """Return the newest runs, newest first, without their steps."""
        return self._rows("(SELECT * FROM runs ORDER BY created_s DESC LIMIT ?)", (limit,))

    def some(self, run_ids: Iterable[str]) -> builtins.list[RunRow]:
        """Return those of these runs that there are, newest first, without their steps."""
        ids = tuple(run_ids)
        marks = ",".join("?" * len(ids))
        return self._rows(f"(SELECT * FROM runs WHERE id IN ({marks}))", ids)  # noqa: S608

    def _rows(self, source: str, values: tuple[Any, ...]) -> builtins.list[RunRow]:
        found = [run_of(row) for row in self._database.query(_SUMMARY.format(source=source), values)]
        if any(row.state == INTERRUPTED for row in found):  # a second look, as above
            found = [run_of(row) for row in self._database.query(_SUMMARY.format(source=source), values)]
        return found

    def _get(self, run_id: str) -> RunRow:
        summary = _SUMMARY.format(source="(SELECT * FROM runs WHERE id = ?)")
        rows = self._database.query(summary, (run_id,))
        if not rows:
            raise UnknownRun(f"no run has the id {run_id!r}", where=run_id, fix="%mlops runs lists them")
        steps = self._database.query("SELECT * FROM steps WHERE run_id = ? ORDER BY position", (run_id,))
        return run_of(rows[0], tuple(step_of(row) for row in steps))

    def set_state(self, run_id: str, state: str) -> None:
        """Move a run to a state; an ended state also stamps the time."""
        finished = time.time() if state in ENDED else None
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE runs SET state = ?, finished_s = ? WHERE id = ?", (state, finished, run_id)
            )

    def drive(self, run_id: str, driver: str, instead_of: str = "") -> bool:
        """Record who drives a run from now on, and that it runs.

        With `instead_of`, only if that is still who drives it: of two that take over a run at once, one gets it.
        A wish to cancel it is forgotten, unless this driver has been named before and only now begins. Returns
        whether it was recorded.
        """
        with self._database.transaction() as connection:
            done = connection.execute(
                "UPDATE runs SET cancelling = CASE WHEN ? = '' AND driver = ? THEN cancelling ELSE 0 END,"
                " driver = ?, state = 'running', finished_s = NULL WHERE id = ? AND (? = '' OR driver = ?)",
                (instead_of, driver, driver, run_id, instead_of, instead_of),
            )
            return done.rowcount == 1

    def add_step(self, run_id: str, position: int, verb: str) -> None:
        """Add a pending step to a run that finds its steps while it goes on."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO steps (run_id, position, verb, state) VALUES (?, ?, ?, 'pending')",
                (run_id, position, verb),
            )

    def step(self, run_id: str, position: int) -> StepRow:
        """Return one step of a run, without reading the others.

        Raises
        ------
        UnknownRun
            If there is no such step.
        """
        rows = self._database.query(
            "SELECT * FROM steps WHERE run_id = ? AND position = ?", (run_id, position)
        )
        if not rows:
            raise UnknownRun(
                f"run {run_id!r} has no step {position}", where=run_id, fix="%mlops runs lists them"
            )
        return step_of(rows[0])

    def ask_cancel(self, run_id: str) -> None:
        """Ask whoever drives the run to cancel it."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE runs SET cancelling = 1 WHERE id = ?", (run_id,))

    def cancelling(self, run_id: str) -> bool:
        """Return whether somebody asked to cancel the run."""
        rows = self._database.query("SELECT cancelling FROM runs WHERE id = ?", (run_id,))
        return bool(rows and rows[0]["cancelling"])

    def start_step(self, run_id: str, position: int, step_owner: str) -> None:
        """Record that a process runs the step; counts one attempt."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE steps SET state = 'running', owner = ?, attempt = attempt + 1, cached = 0,"
                " started_s = ?, finished_s = NULL, result = NULL, error = NULL"
                " WHERE run_id = ? AND position = ?",
                (step_owner, time.time(), run_id, position),
            )

    def claim_step(self, run_id: str, position: int, step_owner: str) -> bool:
        """Start a step unless another process runs it or has done it; returns whether it was started.

        Of two processes that were given the same step (a killed driver's host and its successor's), one gets it.
        """
        with self._database.transaction():
            row = self.step(run_id, position)
            taken = row.state == "running" and row.owner != step_owner and owner.alive(row.owner)
            if taken or row.state == "done":
                return False
            self.start_step(run_id, position, step_owner)
            return True

    def reopen_step(self, run_id: str, position: int) -> None:
        """Record that a step must run again: what it had made is gone."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE steps SET state = 'pending' WHERE run_id = ? AND position = ?", (run_id, position)
            )

    def finish_step(
        self,
        run_id: str,
        position: int,
        state: str,
        *,
        result: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
        cached: bool = False,
    ) -> None:
        """Record how a step ended, with its result or its error (JSON-able)."""
        now = time.time()
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE steps SET state = ?, finished_s = ?, started_s = coalesce(started_s, ?), result = ?,"
                " error = ?, cached = ? WHERE run_id = ? AND position = ?",
                (state, now, now, _text(result), _text(error), cached, run_id, position),
            )

    def refer(self, run_id: str, position: int, role: str, digest: str) -> None:
        """Record that a step used (``input``) or made (``output``) an artifact; gc then keeps it."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO run_artifacts VALUES (?, ?, ?, ?)", (run_id, position, role, digest)
            )

    def titled(self, title: str) -> str:
        """Return the newest run of a title, empty when there is none."""
        rows = self._database.query("SELECT id FROM runs WHERE title = ? ORDER BY created_s DESC", (title,))
        return str(rows[0]["id"]) if rows else ""

    def made(self, digest: str) -> builtins.list[tuple[str, int]]:
        """Return the run and position of every step that made an artifact, newest run first."""
        rows = self._database.query(
            "SELECT run_id, position FROM run_artifacts JOIN runs ON runs.id = run_id"
            " WHERE digest = ? AND role = 'output' ORDER BY created_s DESC",
            (digest,),
        )
        return [(row["run_id"], row["position"]) for row in rows]

    def remove(self, run_id: str) -> None:
        """Forget a run that no longer runs, with its steps and events; gc then frees what only it kept."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))
            for table in ("steps", "run_artifacts", "events", "run_sources"):
                connection.execute(f"DELETE FROM {table} WHERE run_id = ?", (run_id,))  # noqa: S608


def _text(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value, sort_keys=True, separators=(",", ":"))
