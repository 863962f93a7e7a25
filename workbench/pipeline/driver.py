"""Drive a run: step after step, from the first that is not done.

``python -m workbench.pipeline.driver HOME RUN`` drives one in the background, detached from whoever asked. A
driver that takes over a run (resume) keeps what is done and, when the killed driver's step still runs, waits
for that step instead of starting it twice.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import codec
from ..errors import RunError, StepFailed, WorkbenchError
from ..store import RunRow, StepRow, Store, owner
from . import cache, record, spare
from .driving import Listener, RunDriver, end_steps
from .process import StepProcess
from .provenance import TreeNote
from .recipe import Recipe, Step, loads, pin
from .result import StepResult
from .step import run as run_here

_ADOPTED_POLL_S = 0.05


class Driver(RunDriver[list[StepResult]]):
    """Drives a recipe, step after step.

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
        super().__init__(store, run_id, on_event)
        self._live = live or {}
        self._tree = TreeNote(store, run_id)

    def _work(self) -> list[StepResult]:
        with self._tree.finished():
            return self._steps()

    def _steps(self) -> list[StepResult]:
        recipe = recipe_of(self.store.runs.get(self.run_id))
        results: list[StepResult] = []
        for position, step in enumerate(recipe.steps):
            results.append(self._step(position, step, results, recipe))
            self._forward()
        return results

    def _step(self, position: int, step: Step, before: list[StepResult], recipe: Recipe) -> StepResult:
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
        return self._spawn(position, pinned, key, recipe)

    def _spawn(self, position: int, step: Step, key: str, recipe: Recipe) -> StepResult:
        retries = recipe.retries
        while True:
            process = StepProcess(self.store, self.run_id, position, step, key, isolation=recipe.isolation)
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


def recipe_of(run: RunRow) -> Recipe:
    """Return the recipe of a run."""
    recipe = loads(run.recipe)
    if not isinstance(recipe, Recipe):
        raise RunError("the run holds no recipe", where=run.id)
    return recipe


def result_of(row: StepRow) -> StepResult:
    """Return what a done step left."""
    form = row.result or {}
    result = codec.from_json(form if "_type" in form else form.get("result"))
    if not isinstance(result, StepResult):
        raise RunError(f"step {row.position} recorded no result", where=row.verb)
    return result


def driver_of(
    store: Store, run_id: str, on_event: Listener | None = None, live: Mapping[int, Any] | None = None
) -> RunDriver[Any]:
    """Return who drives a run: a recipe on this machine step after step, anything else as a pipeline."""
    row = store.runs.get(run_id)
    if row.executor == "local" and '"_type":"recipe"' in row.recipe:
        return Driver(store, run_id, on_event, live)
    from .walk.driver import PipelineDriver

    return PipelineDriver(store, run_id, on_event)


def main(home: Path, run_id: str) -> int:
    """Drive a run in the background; how it ends is in the store."""
    with contextlib.suppress(WorkbenchError, KeyboardInterrupt):
        driver_of(Store(home), run_id).drive()
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
