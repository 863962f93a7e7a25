"""What the REST routes know of the store: list runs, show one, cancel one.

Every answer is a JSON-able dict; its keys are the panel's ``IRun`` (``labextension/src/tokens.ts``).
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import config
from ..errors import UnknownRun
from ..store import RunRow, Store


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

    def cancel(self, run_id: str) -> dict[str, Any]:
        """End a run as ``%mlops cancel`` does, also one whose driver is gone, and return what it is then.

        A driver that does not obey within seconds leaves the run in its state, with ``cancelling`` true.

        Raises
        ------
        UnknownRun
            If no run has this id.
        RunError
            If the run has ended already.
        """
        from ..api import cancel

        self._require(run_id)
        cancel(run_id, store=self._open())
        return self.get(run_id)

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
