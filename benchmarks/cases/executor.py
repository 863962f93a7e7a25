"""What the executor costs: a step beyond its own work, steps that are in the cache, a long history.

The step calls a function that does nothing, so all it takes is the executor's: the run's record, a fresh
process, the imports, the result's artifact. A bare interpreter is the yardstick for the process alone. In a session
the step's process was started ahead; what its verbs take is measured in a program of its own, a second after the last.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from workbench.pipeline.callables import send
from workbench.pipeline.executors.executor import Executor
from workbench.pipeline.recipe import Recipe
from workbench.pipeline.steps.call import CallStep
from workbench.store import Store

from ..harness import Contender, fresh, interleave, progress, timed_ms
from ..samples import Samples

CACHED = (1, 10, 100)
HISTORY = 1000
# As a notebook after %load_ext: the modules of a first verb are loaded with the first %mlops line, see `start`.
_SESSION = """
import json, tempfile, time
from pathlib import Path
from workbench.pipeline import spare
from workbench.pipeline.callables import send
from workbench.pipeline.executors.executor import Executor
from workbench.pipeline.recipe import Recipe
from workbench.pipeline.steps.call import CallStep
from workbench.pipeline.walk import recipe, walker
from workbench.store import Store

store = Store(Path(tempfile.mkdtemp(dir=HOME)))
spare.stay()
taken = []
for number in range(4):
    work = Recipe((CallStep(send(store, lambda: [number])),))
    time.sleep(0.7)
    start = time.perf_counter()
    Executor(store).submit(work)
    taken.append((time.perf_counter() - start) * 1e3)
print(json.dumps({"first": taken[0], "next": sorted(taken[1:])[1]}))
"""


def nothing() -> list[float]:
    """Return one number: the work of a step that does none."""
    return [0.0]


def run(samples: Samples, *, quick: bool) -> None:
    """Measure; 2 rounds when quick, else 11."""
    rounds = 2 if quick else 11
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        interleave(samples, {"interpreter.ms": _interpreter, "step.ms": _step(home / "steps")}, rounds)
        samples.ratio("step.over_interpreter", "step.ms", "interpreter.ms")
        for _ in progress(min(rounds, 5), "verbs of a session"):
            found = fresh(_SESSION.replace("HOME", repr(folder)))
            samples.add("verb.first_step_ms", found["first"])
            samples.add("verb.next_step_ms", found["next"])
        cached = {f"cached_{count}.per_step_ms": _cached(home / "cached", count) for count in CACHED}
        interleave(samples, cached, rounds)
        interleave(samples, {f"list_{HISTORY}.ms": _listing(home / "history")}, rounds)


def _interpreter() -> float:
    return timed_ms(lambda: fresh("print(0)"))


def _submit(store: Store, count: int) -> float:
    recipe = Recipe((CallStep(send(store, nothing)),) * count)
    return timed_ms(lambda: Executor(store).submit(recipe))


def _step(home: Path) -> Contender:
    def measure() -> float:
        with tempfile.TemporaryDirectory(dir=home) as folder:  # a store of its own: nothing is in its cache
            os.environ["MLOPS_AHEAD"] = "0"  # as in a shell, where each verb is a program
            try:
                return _submit(Store(Path(folder)), 1)
            finally:
                del os.environ["MLOPS_AHEAD"]

    home.mkdir()
    return measure


def _cached(home: Path, count: int) -> Contender:
    store = Store(home)
    _submit(store, 1)
    return lambda: _submit(store, count) / count


def _listing(home: Path) -> Contender:
    store = Store(home)
    for number in range(HISTORY):
        run_id = store.runs.create("{}", ["capture", "quantize", "compile"], title=f"run {number}")
        store.runs.set_state(run_id, "done")
    return lambda: timed_ms(lambda: store.runs.list(HISTORY))
