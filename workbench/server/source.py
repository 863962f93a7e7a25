"""What the REST routes know of the store: list runs, show one, ask to cancel one.

Every answer is a JSON-able dict; its keys are the panel's ``IRun`` (``labextension/src/tokens.ts``).
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import config
from ..errors import RunError, UnknownRun
from ..store import RunRow, Store

_ENDED = ("done", "failed", "cancelled")


def home_of(root_dir: str) -> Path:
    """Return the store this server shows: ``$MLOPS_HOME``, else ``.mlops`` in the server's root folder."""
    return config.home() if os.environ.get(config.HOME_VARIABLE) else Path(root_dir).absolute() / ".mlops"


class RunSource:
    """The runs of one store, opened at the first question.

    A store that does not exist yet has no runs and is not made: looking must not leave folders behind.
    Methods may be called from any thread.

    Parameters
    ----------
    home
        The store's folder.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._store: Store | None = None

    def list(self, limit: int) -> dict[str, Any]:
        """Return ``{"runs": [...]}``, the newest runs first, without their steps."""
        store = self._open()
        return {"runs": [_run(row) for row in store.runs.list(limit)] if store else []}

    def get(self, run_id: str) -> dict[str, Any]:
        """Return one run with its ``steps``.

        Raises
        ------
        UnknownRun
            If no run has this id.
        """
        row = self._require(run_id)
        steps = [
            {key: value for key, value in asdict(step).items() if key not in ("owner", "result")}
            for step in row.steps
        ]
        return {**_run(row), "steps": steps}

    def cancel(self, run_id: str) -> None:
        """Ask whoever drives the run to cancel it; the run's state changes when the driver has done so.

        Raises
        ------
        UnknownRun
            If no run has this id.
        RunError
            If the run has ended already.
        """
        row = self._require(run_id)
        if row.state in _ENDED:
            raise RunError(f"the run is already {row.state}", where=run_id)
        if store := self._open():
            store.runs.ask_cancel(run_id)

    def _require(self, run_id: str) -> RunRow:
        store = self._open()
        if store is None:
            raise UnknownRun(f"no run has the id {run_id!r}: there is no store yet", where=str(self.home))
        return store.runs.get(run_id)

    def _open(self) -> Store | None:
        if self._store is None and (self.home / "workbench.db").exists():
            self._store = Store(self.home)
        return self._store


def _run(row: RunRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "title": row.title,
        "executor": row.executor,
        "origin": row.origin,
        "state": row.state,
        "cancelling": row.cancelling,
        "created_s": row.created_s,
        "finished_s": row.finished_s,
        "steps_total": row.steps_total,
        "steps_done": row.steps_done,
        "steps_cached": row.steps_cached,
    }
