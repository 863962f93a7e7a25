"""What a pipeline takes along to where this store is not: functions of the notebook, small artifacts."""

from __future__ import annotations

import linecache
import textwrap

import numpy as np
import pytest

import workbench as wb
from workbench import api
from workbench.errors import CorruptArtifact, InputError, MissingInput, RunError
from workbench.pipeline import callables, carry, data
from workbench.pipeline.executors.choose import open_host
from workbench.pipeline.executors.executor import Executor
from workbench.pipeline.making import recipe_making
from workbench.pipeline.recipe import Recipe, canonical, portable
from workbench.pipeline.steps.call import CallStep
from workbench.pipeline.walk.recipe import compiled
from workbench.store import Store


@wb.step
def total(values, by: int) -> int:
    return int(sum(values) * by)


@wb.pipeline
def reads(by: int = 2):
    return total(wb.stored("three"), by)


@pytest.fixture
def other(tmp_path):
    store = Store(tmp_path / "other")
    yield store
    store.close()


@pytest.fixture
def notebook():
    """Define functions as a cell does, source included: ``notebook("def f(): ...")["f"]``."""
    files = []

    def define(source, **names):
        text, file = textwrap.dedent(source), f"<cell {len(files)}>"
        files.append(file)
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        namespace = {"__name__": "__main__", **names}
        exec(compile(text, file, "exec"), namespace)
        return namespace

    yield define
    for file in files:
        linecache.cache.pop(file)


@pytest.fixture
def three(store):
    digest = data.put(store, [1, 2, 3])
    store.names.set("three", digest)
    return digest


def test_a_file_for_kubeflow_gives_the_same_in_any_store(store, other, three, tmp_path):
    path = tmp_path / "out" / "reads.yaml"
    result = api.export_pipeline(reads, path, {"by": 3}, store=store)
    assert "an artifact, carried" in result.text()
    first = path.read_bytes()
    api.export_pipeline(reads, path, {"by": 3}, store=store)
    assert path.read_bytes() == first
    assert wb.run(path, store=other).value() == wb.run(reads, {"by": 3}, store=store).value() == 18
    assert other.artifacts.exists(three)
    with pytest.raises(InputError, match=r"no \.yaml file"):
        api.export_pipeline(reads, tmp_path / "reads.txt", store=store)


def test_an_artifact_too_large_to_carry_is_named(store, tmp_path):
    store.names.set("three", data.put(store, np.random.default_rng(0).normal(size=100_000)))
    with pytest.raises(InputError, match=r"cannot carry three \(1.* MB\)"):
        api.export_pipeline(reads, tmp_path / "reads.yaml", store=store)
    assert not (tmp_path / "reads.yaml").exists()


def test_carried_bytes_that_are_another_artifact_are_refused(store, other, three):
    text = carry.packed(store, three)
    wrong = carry.packed(store, data.put(store, [1, 2, 4]))
    swapped = f"{three} {wrong.partition(' ')[2]}"
    for bad in (swapped, f"{three} no base64", text[: len(text) // 2]):
        with pytest.raises(CorruptArtifact):
            carry.unpack(other, bad)
    assert not other.artifacts.exists(three)


def test_a_function_of_the_notebook_travels_as_source(store, other, notebook):
    cell = notebook(
        """
        import json
        LIMIT = 4

        def twice(x):
            return [2 * one for one in x if one < LIMIT]

        def start():
            return json.loads("[1, 2, 9]")
        """
    )
    steps = [
        CallStep(callables.send(store, cell["start"])),
        CallStep(callables.send(store, cell["twice"]), "step:0"),
    ]
    here = Executor(store).submit(Recipe(tuple(steps))).results()
    work = compiled(Recipe(tuple(steps)))
    assert "callable.pkl" not in str(work.spec)
    Executor(other).submit(work)
    for one in here:  # the same digests from signed bytes here as from text there
        assert other.artifacts.exists(one.output)
    assert portable(steps[0]).function.blob == ""
    assert "text" not in canonical(steps[0])["function"]


def test_decorators_travel_but_for_the_step(store, notebook):
    cell = notebook(
        """
        import functools
        import workbench as wb

        def plus_one(function):
            @functools.wraps(function)
            def inner(x):
                return function(x) + 1
            return inner

        @wb.step(retries=1)
        @plus_one
        def double(x: int) -> int:
            return 2 * x
        """
    )
    double = cell["double"]

    @wb.pipeline
    def flow(x: int = 2):
        return double(x)

    assert wb.run(flow, store=store).value() == 5


def test_what_cannot_travel_is_refused_by_its_name_before_anything_starts(store, notebook):
    handle = object()
    cell = notebook(
        """
        def measure():
            return [len(str(handle))]

        def imports():
            import no_such_module_anywhere
            return 1

        def maybe():
            try:
                import no_such_module_anywhere
            except ImportError:
                return 1
        """,
        handle=handle,
    )
    for name, words in (
        ("measure", "'handle', a object of the notebook"),
        ("imports", "no_such_module_anywhere"),
    ):
        graph = compiled(Recipe((CallStep(callables.send(store, cell[name])),))).graph()
        for executor in ("ray", "kubeflow"):
            pytest.importorskip({"kubeflow": "kfp"}.get(executor, executor))
            with pytest.raises(InputError, match=words):
                open_host(executor, store, graph)
    assert callables.send(store, cell["maybe"]).text


def test_an_artifact_means_the_steps_that_made_it(store, other, notebook):
    cell = notebook("def start():\n    return [1, 2]\n\ndef double(x):\n    return [2 * one for one in x]\n")
    steps = (
        CallStep(callables.send(store, cell["start"])),
        CallStep(callables.send(store, cell["double"]), "step:0", name="doubled"),
    )
    last = Executor(store).submit(Recipe(steps)).results()[-1].output
    recipe = recipe_making(store, last)
    assert [step.argument for step in recipe.steps] == ["", "step:0"]
    assert wb.mirror("doubled", against="local", store=store).equal
    with pytest.raises(RunError, match="no step made it"):
        recipe_making(store, data.put(store, [7]))
    with pytest.raises(MissingInput, match="cannot be imported"):
        wb.run("nothing:here", store=store)
