"""A recipe of verbs is the same work wherever it runs: as a verb, as a pipeline, in a container's command."""

from __future__ import annotations

import pytest

from workbench.pipeline import callables
from workbench.pipeline.executors.executor import Executor
from workbench.pipeline.executors.limits import refuse_bound
from workbench.pipeline.mirror import reflections
from workbench.pipeline.recipe import Recipe
from workbench.pipeline.steps.call import CallStep
from workbench.pipeline.steps.pull import PullStep
from workbench.pipeline.steps.push import PushStep
from workbench.pipeline.walk.recipe import compiled
from workbench.store import Store

SOURCE = """
def drawn():
    import random
    import numpy
    return {"w": numpy.random.rand(3), "r": random.random(), "order": list({"a", "b", "c"})}

def doubled(before):
    import os
    import torch
    return {"w": 2 * before["w"], "t": torch.rand(2), "threads": os.environ["OMP_NUM_THREADS"]}
"""


@pytest.fixture
def recipe(store, tmp_path):
    import linecache

    linecache.cache["<cell one path>"] = (
        len(SOURCE),
        None,
        SOURCE.splitlines(keepends=True),
        "<cell one path>",
    )
    cell = {"__name__": "__main__"}
    exec(compile(SOURCE, "<cell one path>", "exec"), cell)

    def named(*names):
        first, second = (callables.send(store, cell[name]) for name in ("drawn", "doubled"))
        return Recipe((CallStep(first, name=names[0]), CallStep(second, "step:0", name=names[1])))

    yield named
    linecache.cache.pop("<cell one path>")


def test_the_same_steps_and_digests_as_verbs_as_a_pipeline_and_in_containers(store, recipe, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    work = recipe("one", "two")
    verbs = Executor(store).submit(work).row
    runs = [Executor(store).submit(compiled(work, fresh=True)).row]
    try:
        import kfp  # noqa: F401
    except ImportError:
        print("NOT COMPARED: kfp is not installed")
    else:
        runs.append(Executor(store, "kubeflow").submit(compiled(work, fresh=True)).row)
    assert [step.verb for step in verbs.steps] == ["call", "call-2"]
    for run in runs:
        found = reflections(verbs.steps, run.steps)
        assert [one.step for one in found] == ["call", "call-2"]
        assert all(one.equal for one in found)
        assert not any(step.cached for step in run.steps)


def test_what_a_verb_made_a_pipeline_need_not_make_again_whatever_it_is_called(store, recipe):
    Executor(store).submit(recipe("one", "two"))
    for run in (
        Executor(store).submit(compiled(recipe("one", "two"))),
        Executor(store).submit(recipe("three", "four")),
    ):
        assert [step.cached for step in run.row.steps] == [True, True]
    assert store.names.resolve("four") == store.names.resolve("two")


def test_a_name_means_what_it_means_when_its_steps_turn_comes(store, recipe):
    first, second = recipe("one", "two").steps
    run = Executor(store).submit(Recipe((first, CallStep(second.function, "one"))))
    assert store.artifacts.manifest(run.results()[1].output).parents == (run.results()[0].output,)


def test_a_run_recorded_by_version_0_1_0_is_still_read(store):
    from workbench import codec
    from workbench.pipeline.result import StepResult, result_of

    run = store.runs.create("{}", ["call"])
    store.runs.finish_step(run, 0, "done", result=codec.to_json(StepResult("sha256:1", {"a": 1.0})))
    assert result_of(store.runs.get(run).steps[0]) == StepResult("sha256:1", {"a": 1.0})


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (PushStep("sha256:" + "0" * 64, "m"), "push: it stages behind the route of this machine"),
        (PullStep("http://127.0.0.1:5000/m:int8"), "pull: it asks the keys that this store trusts"),
    ],
)
def test_what_belongs_to_this_machine_is_refused_elsewhere_by_name(step, why):
    from workbench.errors import InputError

    with pytest.raises(InputError, match=why):
        refuse_bound(compiled(Recipe((step,))).graph(), "Ray")


def test_equal_recipes_give_one_ir_in_every_store(store, recipe, tmp_path):
    work = recipe("one", "two")
    other = Store(tmp_path / "other")
    cell = {"__name__": "__main__"}
    exec(compile(SOURCE, "<cell one path>", "exec"), cell)
    again = Recipe(
        tuple(
            CallStep(
                callables.send(other, cell[one.function.target.rpartition(":")[2]]), one.argument, one.name
            )
            for one in work.steps
        )
    )
    other.close()
    assert compiled(again).spec == compiled(work).spec
