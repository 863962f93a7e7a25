"""A run and its steps as the store tells them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import owner

ENDED = ("done", "failed", "cancelled")
INTERRUPTED = "interrupted"
"""States in which a run or a step stays."""


@dataclass(frozen=True)
class StepRow:
    """One step of a run: its state, the process that runs it, its result or its error (JSON forms)."""

    position: int
    verb: str
    state: str
    owner: str
    attempt: int
    cached: bool
    started_s: float | None
    finished_s: float | None
    result: Mapping[str, Any] | None
    error: Mapping[str, Any] | None


@dataclass(frozen=True)
class RunRow:
    """One run.

    Parameters
    ----------
    id, title
        Its id and what the user typed.
    recipe
        Canonical text of the recipe.
    executor, origin
        Which executor runs it; who asked (kernel or session), for filters.
    state
        ``pending running done failed cancelled``, or ``interrupted`` when its processes are gone.
    driver
        Owner text of the driving process.
    cancelling
        Whether somebody asked to cancel it.
    steps_total, steps_done, steps_cached
        Counts over its steps.
    steps
        The steps themselves; only :meth:`Runs.get` fills them.
    """

    id: str
    title: str
    recipe: str
    executor: str
    origin: str
    state: str
    driver: str
    cancelling: bool
    created_s: float
    finished_s: float | None
    steps_total: int
    steps_done: int
    steps_cached: int
    steps: tuple[StepRow, ...] = ()


def run_of(row: sqlite3.Row, steps: tuple[StepRow, ...] = ()) -> RunRow:
    """Return the run in a row of the database."""
    state = row["state"]
    if state not in ENDED:
        holders = [row["driver"], *(row["owners"] or "").split(",")]
        state = state if any(owner.alive(holder) for holder in holders) else INTERRUPTED
    return RunRow(
        row["id"],
        row["title"],
        row["recipe"],
        row["executor"],
        row["origin"],
        state,
        row["driver"],
        bool(row["cancelling"]),
        row["created_s"],
        row["finished_s"],
        int(row["steps_total"]),
        int(row["steps_done"]),
        int(row["steps_cached"]),
        steps,
    )


def step_of(row: sqlite3.Row) -> StepRow:
    """Return the step in a row of the database."""
    result, error = (json.loads(row[key]) if row[key] else None for key in ("result", "error"))
    return StepRow(
        row["position"],
        row["verb"],
        row["state"],
        row["owner"],
        row["attempt"],
        bool(row["cached"]),
        row["started_s"],
        row["finished_s"],
        result,
        error,
    )
