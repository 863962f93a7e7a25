"""A handle on a run: look at it, wait for it, cancel it. It holds nothing; everything is in the store."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import RunCancelled, RunError, StepFailed, from_json
from ..render.table import Table
from ..store import Event, RunRow, Store
from .process import log_tail
from .result import Result, StepResult, result_of
from .views import runs_table

_POLL_S = 0.05


@dataclass(frozen=True)
class Run:
    """One run.

    Parameters
    ----------
    store, id
        Which run of which store.
    """

    store: Store
    id: str

    @property
    def row(self) -> RunRow:
        """Its record, read now."""
        return self.store.runs.get(self.id)

    @property
    def state(self) -> str:
        """``pending running done failed cancelled interrupted``, read now."""
        return self.row.state

    def results(self) -> list[StepResult]:
        """Return the results of the verbs that are done."""
        return [result_of(step) for step in self.row.steps if step.state == "done"]

    def logs(self) -> str:
        """Return what its steps wrote, each under a heading."""
        parts = []
        for step in self.row.steps:
            text = log_tail(self.store, self.id, step.position, 1 << 20)
            if text:
                parts.append(f"--- step {step.position} ({step.verb}) ---\n{text.rstrip()}")
        return "\n".join(parts)

    def cancel(self) -> None:
        """End it and its step."""
        from .executors.executor import Executor

        Executor(self.store).cancel(self.id)

    def result(self) -> Result:
        """Return what its last step left; waits until it is done."""
        from .launch import outcome

        self.wait()
        return outcome(self)

    def wait(self, timeout_s: float | None = None, on_event: Callable[[Event], None] | None = None) -> RunRow:
        """Wait until the run ends; return its row when it is done.

        Raises
        ------
        WorkbenchError
            The error of the step that failed, as its own class.
        RunCancelled
            If it was cancelled.
        RunError
            If its processes are gone before it ended, or it has not ended in time.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        seen = 0
        while True:
            row = self.row  # read before the events: when it has ended, none is missed
            if on_event is not None:
                for event in self.store.events.since(seen, self.id):
                    seen = event.seq
                    on_event(event)
            if row.state not in ("pending", "running"):
                break
            if until is not None and time.monotonic() > until:
                raise RunError(f"run {self.id} has not ended in {timeout_s} s", where=self.id)
            time.sleep(_POLL_S)
        if row.state == "done":
            return row
        raise self._error(row)

    def to_json(self) -> dict[str, str]:
        """Return its id and state."""
        return {"run": self.id, "state": self.state}

    def __repr__(self) -> str:
        return self._table().text()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": self._table().text(), "text/html": self._table().html()}

    def _table(self) -> Table:
        return runs_table([self.row])

    def _error(self, row: RunRow) -> Exception:
        resume = f"%mlops resume {self.id}"
        if row.state == "cancelled":
            return RunCancelled(f"run {self.id} was cancelled", where=self.id, fix=resume)
        if row.state == "interrupted":
            return RunError(f"the processes of run {self.id} are gone", where=self.id, fix=resume)
        for step in row.steps:
            if step.error is not None:
                return from_json(step.error)
        told = self.store.events.newest(self.id, "run.failed")
        if told is not None and "what" in told.payload:  # no step's fault: a lost host, an unknown input
            return from_json(told.payload)
        return StepFailed(f"run {self.id} failed", where=self.id, fix=f"%mlops logs {self.id}")
