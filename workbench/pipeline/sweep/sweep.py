"""Drive a sweep: build every trial, score it rung by rung, stop the hopeless, remember everything.

Each unit of work is a run of its own on the executor, driven by a process of its own: as many at once as there is
room for. What a trial has reached is in the store after every unit, so a sweep whose driver was killed goes on where
it was; what still runs then is waited for, not started again. A trial fails by its own steps only: a unit that lost
its processes, its host program or the cluster under it goes on, and where that happens again and again the sweep
ends with its trials open, for whoever resumes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import RunError, StepLost, WorkbenchError, from_json
from ...store import StepRow, Store, Trial
from ..executors.executor import Executor
from ..executors.room import shared
from ..figures import figures
from ..recipe import Recipe
from ..result import StepResult
from ..run import Run
from .halving import Standing, stops
from .plan import BASELINE, SweepPlan

_POLL_S = 0.1
_TRIES = 3
_ALIVE = ("pending", "running")
Say = Callable[[str], None]


@dataclass(frozen=True)
class SweepOutcome:
    """How a sweep stands: its id, its state, every trial, and the trials that passed."""

    id: str
    state: str
    trials: tuple[Trial, ...]
    passed: tuple[str, ...]


class OutOfBudget(Exception):
    """Raised when the time given is over; what was reached is kept."""


class ExecutorLost(Exception):
    """Raised when what runs the units was lost again and again; holds the last error."""

    def __init__(self, error: RunError) -> None:
        super().__init__(error.what)
        self.error = error


class Sweep:
    """One sweep.

    Parameters
    ----------
    store, id
        Which sweep of which store.
    plan
        What it tries.
    budget_s
        Wall time from now; trials that have not ended by then stay as they are. None for no limit.
    at_once
        Runs at the same time; 0 for as many as the executor has processors.
    say
        Told what happens, a line at a time.
    """

    def __init__(
        self, store: Store, id: str, plan: SweepPlan, *, budget_s: float | None, at_once: int, say: Say
    ) -> None:
        self._store, self.id, self._plan = store, id, plan
        self._until = None if budget_s is None else time.monotonic() + budget_s
        self._at_once, self._say = at_once, say
        self._lost: Counter[str] = Counter()
        self._facts: dict[str, dict[str, Any]] = {}
        self._states: dict[str, str] = {}

    def drive(self) -> SweepOutcome:
        """Do what is left.

        Raises
        ------
        RunError
            If another process drives it.
        KeyboardInterrupt
            If this one was interrupted: what ran was ended, everything reached is kept.
        WorkbenchError
            If the program itself cannot be scored.
        """
        with shared(self._plan.executor) as (name, room):
            self._executor = Executor(self._store, name)
            self._at_once = self._at_once or room
            return self._drive()

    def _drive(self) -> SweepOutcome:
        if not self._store.sweeps.take(self.id):
            raise RunError(f"sweep {self.id} is driven by another process", where=self.id, fix="wait for it")
        for trial in self._store.sweeps.trials(self.id):
            self._states[trial.key], self._facts[trial.key] = trial.state, dict(trial.facts)
        state = "failed"
        try:
            self._each("build", [key for key in self._open() if "compiled" not in self._facts[key]])
            for rung in self._plan.rungs:
                self._rung(rung)
            state = "done"
        except OutOfBudget:
            state = "stopped"
            self._cancel()
        except KeyboardInterrupt as error:
            state = "cancelled"
            self._cancel()
            error.add_note(f"sweep {self.id} is cancelled; %mlops sweep --resume {self.id} goes on with it")
            raise
        except ExecutorLost as lost:
            self._cancel()
            raise RunError(
                f"sweep {self.id} lost the executor: {lost.error.what}",
                where=self._plan.executor,
                fix=f"see that it runs, then %mlops sweep --resume {self.id}: what is done stays done",
                log=lost.error.to_json().get("log", ""),
            ) from lost.error
        finally:
            self._store.sweeps.end(self.id, state)
        trials = tuple(self._store.sweeps.trials(self.id))
        return SweepOutcome(self.id, state, trials, tuple(t.key for t in trials if t.state == "done"))

    def _open(self) -> list[str]:
        """Return the trials that have not ended; the baseline always takes part."""
        return [key for key, state in self._states.items() if state in ("pending", "running")]

    def _rung(self, fraction: float) -> None:
        """Score what is left on a share of the data, then stop the hopeless, or judge the gate on all of it."""
        rung = f"{fraction:g}"
        todo = [key for key in self._open() if rung not in self._facts[key].get("scores", {})]
        self._each(f"score {rung}", todo, fraction)
        baseline = self._score(BASELINE, rung)
        if baseline is None:
            raise from_json(self._facts[BASELINE]["error"])
        standings = [
            Standing(key, score, baseline, int(self._facts[key]["size_bytes"]))
            for key in self._open()
            if key != BASELINE and (score := self._score(key, rung)) is not None
        ]
        if fraction < 1:
            for key, why in stops(standings, fraction, self._plan.max_drop, self._plan.eta).items():
                self._end(key, "stopped", why)
            return
        for one in standings:
            limit = self._plan.max_drop
            refused = limit is not None and one.drop > limit
            self._end(one.key, "refused" if refused else "done", f"drop {one.drop:.4g}")
        self._end(BASELINE, "baseline", "")

    def _score(self, key: str, rung: str) -> float | None:
        return self._facts[key].get("scores", {}).get(rung)  # type: ignore[no-any-return]

    def _each(self, what: str, keys: Iterable[str], fraction: float = 0.0) -> None:
        """Run one unit of each trial, some at once; a trial whose unit fails is out, the others go on."""
        waiting = [key for key in keys if fraction or key != BASELINE]
        running: dict[str, Run] = {}
        while waiting or running:
            if self._until is not None and time.monotonic() > self._until:
                raise OutOfBudget
            while waiting and len(running) < self._at_once:
                key = waiting.pop(0)
                running[key] = self._start(key, what, fraction)
            for key in [key for key, run in running.items() if run.state not in _ALIVE]:
                again = self._finish(key, running.pop(key), fraction)
                if again is not None:
                    running[key] = again
            time.sleep(_POLL_S if running else 0)

    def _start(self, key: str, what: str, fraction: float) -> Run:
        """Begin a unit, or take the run that a killed driver left."""
        title = f"sweep {self.id}: {what} {key}"
        known = self._store.runs.titled(title)  # also one whose driver was killed before it wrote it down
        run = Run(self._store, known) if known else None
        if run is not None and run.row.executor != self._executor.name and run.state != "done":
            run = None  # the Ray node it was on was started for the sweep that was interrupted
        if run is not None and run.state in ("interrupted", "cancelled"):
            run = self._executor.resume(run.id, background=True)
        fresh = run is None or run.state == "failed"
        if run is None or fresh:
            run = self._executor.submit(self._recipe(key, fraction), title=title, background=True)
        self._move(key, "running", run=run.id)  # before anybody is told, who may interrupt
        if fresh:
            self._say(f"{what} {key}")
        return run

    def _recipe(self, key: str, fraction: float) -> Recipe:
        if not fraction:
            return self._plan.build(key)
        return self._plan.score(self._facts[key].get("compiled", ""), fraction)

    def _finish(self, key: str, run: Run, fraction: float) -> Run | None:
        """Keep what a unit reached; return it where it goes on, because what ended it was no step of it."""
        try:
            run.wait()
        except WorkbenchError as error:
            lost = isinstance(error, StepLost) or type(error) is RunError
            if isinstance(error, RunError) and lost and all(map(_lost, run.row.steps)):
                return self._again(key, run, error)
            self._move(key, "failed", error=error.to_json(), why=error.what)
            self._say(f"{key}: {error.what}")
            return None
        results = run.results()
        if fraction:
            self._scored(key, results[-1], fraction)
        else:
            self._built(key, results)
        return None

    def _again(self, key: str, run: Run, error: RunError) -> Run:
        self._lost[key] += 1
        if self._lost[key] >= _TRIES:
            raise ExecutorLost(error)
        self._say(f"{key}: {error.what}; it goes on")
        return self._executor.resume(run.id, background=True)

    def _built(self, key: str, results: Sequence[StepResult]) -> None:
        variant, compiled = (one.output for one in results)
        size = figures(self._store, compiled).size_bytes
        self._move(key, "running", variant=variant, compiled=compiled, size_bytes=size)

    def _scored(self, key: str, result: StepResult, fraction: float) -> None:
        value = result.metrics["score"]
        scores = {**self._facts[key].get("scores", {}), f"{fraction:g}": value}
        measured = {one.key: one.value for one in result.measured}
        self._move(key, self._states[key], scores=scores, **measured)
        compiled = self._facts[key].get("compiled")
        if compiled and fraction == 1:
            self._store.measurements.set(compiled, "score", value, "score")
            for one in result.measured:
                self._store.measurements.set(compiled, one.key, one.value, one.unit, one.baseline)
        self._say(f"{key}: {value:.6g} on {100 * fraction:.3g} %")

    def _end(self, key: str, state: str, why: str) -> None:
        self._move(key, state, why=why)
        self._say(f"{key}: {state}{', ' if why else ''}{why}")

    def _move(self, key: str, state: str, **facts: Any) -> None:
        self._states[key] = state
        self._facts[key].update(facts)
        self._store.sweeps.move(self.id, key, state, self._facts[key])

    def _cancel(self) -> None:
        """End what runs; its trials stay open, for whoever resumes."""
        for key, facts in self._facts.items():
            run = Run(self._store, facts["run"]) if facts.get("run") else None
            if run is not None and run.state in _ALIVE:
                self._executor.cancel(run.id)
                self._say(f"{key}: ended")


def _lost(step: StepRow) -> bool:
    """Return whether a step has no error of its own."""
    return not step.error or step.error.get("error") == StepLost.__name__


def facts_of(trial: Trial) -> Mapping[str, Any]:
    """Return what is known of a trial, with its last score as ``score``."""
    scores = trial.facts.get("scores", {})
    last = max(scores, key=float) if scores else None
    return {**trial.facts, "score": scores[last] if last else None, "rung": float(last) if last else 0.0}
