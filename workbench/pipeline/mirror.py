"""The mirror check: one pipeline on two executors, compared step by step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..render.table import Table
from ..store import StepRow, Store
from .differences import Difference, differences
from .driving import Listener
from .executors.executor import Executor
from .walk.driver import PipelineRun
from .workers.order import Outcome

_SHORT = len("sha256:") + 12
_CELL = 28


@dataclass(frozen=True)
class Reflection:
    """What became of one step on two executors.

    Parameters
    ----------
    step
        Where in the pipeline it stands.
    ours, theirs
        What it left on each; None where it did not run.
    """

    step: str
    ours: Outcome | None
    theirs: Outcome | None

    @property
    def equal(self) -> bool:
        """Whether both left the same artifacts and the same plain values."""
        if self.ours is None or self.theirs is None:
            return False
        same = self.ours.artifacts == self.theirs.artifacts
        return same and self.ours.parameters == self.theirs.parameters


@dataclass(frozen=True)
class Mirror:
    """A mirror check.

    Parameters
    ----------
    executors
        The two.
    runs
        Their runs.
    steps
        Every step, in the order in which they became ready on the first.
    causes
        Why the first step that differs does; empty when none does.
    """

    executors: tuple[str, str]
    runs: tuple[str, str]
    steps: tuple[Reflection, ...]
    causes: tuple[Difference, ...]

    @property
    def first(self) -> Reflection | None:
        """The first step that differs, None when none does."""
        return next((one for one in self.steps if not one.equal), None)

    def table(self) -> Table:
        """Return the steps side by side."""
        rows = [
            (one.step, _shown(one.ours), _shown(one.theirs), "yes" if one.equal else "no")
            for one in self.steps
        ]
        return Table(("step", *self.executors, "equal"), rows)


def mirror(
    store: Store, work: PipelineRun, against: str, *, title: str = "", on_event: Listener | None = None
) -> Mirror:
    """Run a pipeline here and elsewhere, take nothing from the cache, and compare.

    Raises
    ------
    WorkbenchError
        If it fails on either.
    """
    fresh = replace(work, fresh=True)
    names = ("local", against)
    runs = [Executor(store, name).submit(fresh, title=title, on_event=on_event).id for name in names]
    steps = reflections(*(store.runs.get(run).steps for run in runs))
    first = next((one for one in steps if not one.equal), None)
    causes = () if first is None else tuple(explain(store, first))
    return Mirror((names[0], names[1]), (runs[0], runs[1]), steps, causes)


def reflections(ours: tuple[StepRow, ...], theirs: tuple[StepRow, ...]) -> tuple[Reflection, ...]:
    """Return the steps of two runs side by side, by where they stand in the pipeline."""
    found = {row.verb: _outcome(row) for row in theirs}
    both = [Reflection(row.verb, _outcome(row), found.pop(row.verb, None)) for row in ours]
    return (*both, *(Reflection(path, None, outcome) for path, outcome in found.items()))


def explain(store: Store, step: Reflection) -> list[Difference]:
    """Return why a step differs: environment, code, data and hardware, as far as its artifacts tell."""
    if step.ours is None or step.theirs is None:
        where = "the second executor" if step.theirs is None else "the first executor"
        return [Difference(step.step, "parameters", "a condition", "", f"it did not run on {where}")]
    causes: list[Difference] = []
    for key in sorted({*step.ours.parameters, *step.theirs.parameters}):
        pair = [repr(one.parameters.get(key)) for one in (step.ours, step.theirs)]
        if pair[0] != pair[1]:
            causes.append(Difference(step.step, "values", key, *(one[:60] for one in pair)))
    for key, ours in step.ours.artifacts.items():
        theirs = step.theirs.artifacts.get(key, "")
        if theirs and theirs != ours:
            causes += differences(store, ours, theirs)
    if not {one.aspect for one in causes} & {"environment", "code", "data", "parameters", "hardware"}:
        same = "code, parameters, data, environment and seed are the same"
        causes.append(
            Difference(step.step, "hidden input", same, "", "it reads a clock, an address or a file")
        )
    return causes


def _outcome(row: StepRow) -> Outcome | None:
    return None if row.result is None else Outcome.of(row.result)


def _shown(outcome: Outcome | None) -> str:
    if outcome is None:
        return "did not run"
    values: list[Any] = [one[:_SHORT] for one in outcome.artifacts.values()]
    values += [f"{key}={value!r}"[:_CELL] for key, value in outcome.parameters.items()]
    return ", ".join(values) or "nothing"
