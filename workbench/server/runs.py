"""Runs as the panel sees them: list, look at one, read its log, cancel, go on.

Every answer is a JSON-able dict; its keys are the panel's ``IRun`` (``labextension/src/tokens.ts``).
"""

from __future__ import annotations

import builtins
from dataclasses import asdict
from typing import Any

from ..errors import InputError
from ..pipeline import asked
from ..pipeline.process import log_path
from ..store import RunRow, Store
from .home import Home

LOG_CHUNK = 64 * 1024
"""Bytes of a log one answer holds; a reader asks on from ``next``."""

_ACTIVE = ("pending", "running")


class Runs:
    """The runs of one store."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def list(self, limit: int) -> dict[str, Any]:
        """Return ``{"runs": [...], "seq": n}``: the newest runs without their steps, and where to replay from."""
        store = self.home.store()
        if store is None:
            return {"runs": [], "seq": 0}
        seq = store.events.last()  # before the runs: what happens meanwhile is replayed, not lost
        return {"runs": [self._row(store, row) for row in store.runs.list(limit)], "seq": seq}

    def some(self, run_ids: set[str]) -> builtins.list[dict[str, Any]]:
        """Return these runs, without those that are no runs (events of deployments) or were removed."""
        store = self.home.store()
        rows = store.runs.some(run_ids) if store else []
        return [self._row(store, row) for row in rows] if store else []

    def active(self) -> builtins.list[dict[str, Any]]:
        """Return the runs among the newest that have not ended, also those whose processes are gone."""
        store = self.home.store()
        rows = store.runs.list(100) if store else []
        live = [row for row in rows if row.state in (*_ACTIVE, "interrupted")]
        return [self._row(store, row) for row in live] if store else []

    def get(self, run_id: str) -> dict[str, Any]:
        """Return one run with its ``steps``.

        Raises
        ------
        UnknownRun
            If no run has this id.
        """
        store = self._store(run_id)
        row = store.runs.get(run_id)
        hidden = ("owner", "result")
        steps = [{k: v for k, v in asdict(step).items() if k not in hidden} for step in row.steps]
        return {**self._row(store, row), "steps": steps}

    def log(self, run_id: str, step: int, offset: int) -> dict[str, Any]:
        """Return a piece of a step's log.

        Parameters
        ----------
        step
            Its position; -1 for the newest that wrote something.
        offset
            Where to begin, in bytes; negative counts from the end.

        Returns
        -------
        dict
            ``{"step", "text", "next", "size"}``; ``next`` is where to ask on.

        Raises
        ------
        UnknownRun
            If no run has this id.
        """
        store = self._store(run_id)
        count = len(store.runs.get(run_id).steps)
        if step >= count:
            raise InputError(f"the run has {count} steps", where=f"step={step}")
        order = range(count - 1, -1, -1) if step < 0 else (step,)
        paths = [(n, path) for n in order if (path := log_path(store, run_id, n)).is_file()]
        if not paths:
            return {"step": step, "text": "", "next": 0, "size": 0}
        number, path = paths[0]
        with path.open("rb") as file:
            size = file.seek(0, 2)
            start = max(0, size + offset) if offset < 0 else min(offset, size)
            file.seek(start)
            data = file.read(LOG_CHUNK)
        return {
            "step": number,
            "text": data.decode(errors="replace"),
            "next": start + len(data),
            "size": size,
        }

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

        store = self._store(run_id)
        store.runs.get(run_id)
        cancel(run_id, store=store)
        return self.get(run_id)

    def resume(self, run_id: str) -> dict[str, Any]:
        """Go on with a run in the background, as ``%mlops resume --bg`` does.

        Raises
        ------
        UnknownRun
            If no run has this id.
        RunError
            If it is running.
        """
        from ..api import resume

        store = self._store(run_id)
        store.runs.get(run_id)
        resume(run_id, store=store, background=True)
        return self.get(run_id)

    def _store(self, run_id: str) -> Store:
        return self.home.require(f"no run has the id {run_id!r}")

    def _row(self, store: Store, row: RunRow) -> dict[str, Any]:
        typed = asked.line_of(store, row.id)
        shown = {
            "id": row.id,
            "title": row.title,
            "line": typed.line if typed else "",
            "cell": typed.cell if typed else "",
            "executor": row.executor,
            "origin": self.home.notebook(row.origin),
            "state": row.state,
            "cancelling": row.cancelling,
            "created_s": row.created_s,
            "finished_s": row.finished_s,
            "steps_total": row.steps_total,
            "steps_done": row.steps_done,
            "steps_cached": row.steps_cached,
        }
        progress = store.events.newest(row.id, "step.progress") if row.state in _ACTIVE else None
        failed = store.events.newest(row.id, "step.failed") if row.state == "failed" else None
        if progress is not None:
            shown |= {key: progress.payload.get(key) for key in ("message", "fraction")}
        if failed is not None:
            shown["failure"] = {key: failed.payload.get(key, "") for key in ("error", "what", "where", "fix")}
        return shown
