"""Drive a run: step after step, from the first that is not done.

``python -m workbench.pipeline.driver HOME RUN`` drives one in the background, detached from whoever asked. A
driver that takes over a run (resume) keeps what is done and, when the killed driver's step still runs, waits
for that step instead of starting it twice.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .. import codec
from ..errors import RunCancelled, RunError, StepFailed, WorkbenchError
from ..store import Event, RunRow, StepRow, Store, owner
from . import cache, record, spare
from .process import StepProcess, end_group
from .provenance import TreeNote
from .recipe import Recipe, Step, loads, pin
from .result import StepResult
from .step import run as run_here

Listener = Callable[[Event], None]
_ADOPTED_POLL_S = 0.05


class Driver:
    """Drives one run.

    Parameters
    ----------
    store, run_id
        The run; it must have been created.
    on_event
        Called with every event of the run, in order, while it is driven.
    live
        Objects by position, for steps that run in this process (a live module cannot leave it).
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        on_event: Listener | None = None,
        live: Mapping[int, Any] | None = None,
    ) -> None:
        self.store = store
        self.run_id = run_id
        self._on_event = on_event
        self._live = live or {}
        self._seen = store.events.last() if on_event else 0
        self._tree = TreeNote(store, run_id)

    def drive(self) -> list[StepResult]:
        """Run what is left and return every step's result.

        Raises
        ------
        RunCancelled
            If somebody cancelled the run.
        KeyboardInterrupt
            If this process was interrupted; the step was ended and recorded as cancelled.
        WorkbenchError
            The error of the step that failed.
        """
        self.store.runs.drive(self.run_id, owner.current())
        state = "failed"
        try:
            self._tell("run.started")
            with self._tree.finished():
                results = self._steps()
            state = "done"
            return results
        except (RunCancelled, KeyboardInterrupt):
            state = "cancelled"
            end_steps(self.store, self.run_id)
            raise
        finally:
            self.store.runs.set_state(self.run_id, state)
            self._tell(f"run.{state}")
            self._forward()

    def _steps(self) -> list[StepResult]:
        recipe = recipe_of(self.store.runs.get(self.run_id))
        results: list[StepResult] = []
        for position, step in enumerate(recipe.steps):
            results.append(self._step(position, step, results, recipe.retries))
            self._forward()
        return results

    def _step(self, position: int, step: Step, before: list[StepResult], retries: int) -> StepResult:
        row = self._adopt(position)
        if row.state == "done":
            return result_of(row)
        if self.store.runs.cancelling(self.run_id):
            raise record.cancelled(self.store, self.run_id, position)
        pinned = self._pin(position, step, before)
        if position in self._live:
            spare.prepare()
            self._tree.begin(position)
            return run_here(self.store, self.run_id, position, pinned, live=self._live[position])
        key = cache.key_of(pinned)
        known = cache.lookup(self.store, key)
        if known is not None:
            record.done(self.store, self.run_id, position, pinned, known, cached=True)
            return known
        return self._spawn(position, pinned, key, retries)

    def _spawn(self, position: int, step: Step, key: str, retries: int) -> StepResult:
        while True:
            process = StepProcess(self.store, self.run_id, position, step, key)
            self._tree.begin(position)
            row = process.wait(self._forward)
            if row.state == "done":
                return result_of(row)
            error = process.error(row)
            if retries == 0 or not isinstance(error, StepFailed):  # a foreseen error comes again
                raise error
            retries -= 1
            self._tell("step.retried", error.to_json(), position)

    def _adopt(self, position: int) -> StepRow:
        """Return the step's row, waiting first for a step that outlived its driver."""
        while True:
            row = self.store.runs.get(self.run_id).steps[position]
            if row.state != "running" or not owner.alive(row.owner):
                return row
            if self.store.runs.cancelling(self.run_id):
                end_steps(self.store, self.run_id)
            self._forward()
            time.sleep(_ADOPTED_POLL_S)

    def _pin(self, position: int, step: Step, before: list[StepResult]) -> Step:
        def digest(text: str) -> str:
            return (
                before[int(text[5:])].output if text.startswith("step:") else self.store.names.resolve(text)
            )

        try:
            return pin(step, digest)
        except WorkbenchError as error:
            raise record.failed(self.store, self.run_id, position, error) from error

    def _tell(self, kind: str, payload: Mapping[str, Any] | None = None, position: int = -1) -> None:
        self.store.events.append(self.run_id, position, kind, payload)

    def _forward(self) -> None:
        """Pass the events that happened meanwhile on to the listener."""
        if self._on_event is None:
            return
        for event in self.store.events.since(self._seen, self.run_id):
            self._seen = event.seq
            self._on_event(event)


def end_steps(store: Store, run_id: str) -> None:
    """End what still runs of a run in processes other than this one, and record it as cancelled."""
    for row in store.runs.get(run_id).steps:
        if row.state == "running" and row.owner != owner.current():
            if owner.alive(row.owner):
                end_group(owner.pid_of(row.owner))
            if store.runs.get(run_id).steps[row.position].state == "running":
                record.cancelled(store, run_id, row.position)


def recipe_of(run: RunRow) -> Recipe:
    """Return the recipe of a run."""
    recipe = loads(run.recipe)
    if not isinstance(recipe, Recipe):
        raise RunError("the run holds no recipe", where=run.id)
    return recipe


def result_of(row: StepRow) -> StepResult:
    """Return what a done step left."""
    result = codec.from_json(row.result)
    if not isinstance(result, StepResult):
        raise RunError(f"step {row.position} recorded no result", where=row.verb)
    return result


def main(home: Path, run_id: str) -> int:
    """Drive a run in the background; how it ends is in the store."""
    with contextlib.suppress(WorkbenchError, KeyboardInterrupt):
        Driver(Store(home), run_id).drive()
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
