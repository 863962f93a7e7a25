"""Make it again and compare; what differs between two artifacts, causes first; statements."""

import json
from dataclasses import replace

import pytest

from workbench import codec
from workbench.errors import MissingInput, RunError
from workbench.package.environment import EnvironmentLock, lock
from workbench.pipeline.answers import answers
from workbench.pipeline.differences import differences
from workbench.pipeline.reproduce import ancestors, reproduce, step_of
from workbench.pipeline.statement import provenance
from workbench.store import ArtifactDraft


@pytest.fixture
def made(executor, calls, cell):
    """Run two functions and return the digests of what they made."""
    names = cell("def first():\n    return [1.5, 2.5]\n\ndef double(x):\n    return [2 * v for v in x]")
    return [one.output for one in executor.submit(calls(names["first"], names["double"])).results()]


def test_the_same_step_makes_the_same_digest(store, made):
    again = reproduce(store, made[1])
    assert (again.verdict, again.again) == ("identical", made[1])
    assert store.runs.get(again.run).state == "done"
    assert [origin.run_id for origin in store.origins.of(made[1])][-1] == again.run
    assert ancestors(store, made[1]) == made


def test_what_depends_on_the_moment_is_different_and_says_where(store, executor, calls, cell):
    names = cell("def now():\n    import time\n    return time.time_ns()")
    (result,) = executor.submit(calls(names["now"])).results()
    again = reproduce(store, result.output)
    assert again.verdict == "different"
    assert {one.aspect for one in again.differences} == {"files"}


def test_what_cannot_be_made_again_says_why(store, made):
    folder = store.scratch()
    (folder / "x").write_text("x")
    data = store.artifacts.put(ArtifactDraft("data", folder))
    with pytest.raises(RunError, match="no step made this data"):
        reproduce(store, data)
    live = {"type": "capture_step", "version": 1, "factory": None, "file": "", "examples": data}
    program = store.artifacts.put(ArtifactDraft("program", folder, step=live))
    with pytest.raises(RunError, match="live module") as caught:
        step_of(store, program)
    assert "capture" in caught.value.fix


def test_a_function_of_a_cell_whose_run_was_forgotten(store, made):
    ((run, _),) = store.runs.made(made[1])
    store.runs.remove(run)
    with pytest.raises(MissingInput, match="a function of a notebook cell"):
        reproduce(store, made[1])


def test_a_step_that_fails_again_raises_its_error(store, executor, calls, cell, tmp_path):
    flag = tmp_path / "flag"
    flag.touch()
    names = cell("def f():\n    assert flag.exists(), 'gone'\n    return 1", flag=flag)
    (result,) = executor.submit(calls(names["f"])).results()
    flag.unlink()
    with pytest.raises(Exception, match="gone"):
        reproduce(store, result.output)
    assert store.runs.list()[0].state == "failed"


def variant(store, parent="", lines=("numpy==2.4.6",), **draft):
    """Put an artifact whose environment is recorded."""
    environment = EnvironmentLock("cpython 3.11.2", "linux x86_64", lines)
    store.environments.note(environment.digest, codec.dumps(environment))
    folder = store.scratch()
    (folder / "x").write_text(draft.pop("text", "x"))
    facts = {"kind": "variant", "environment": environment.digest, **draft}
    return store.artifacts.put(ArtifactDraft(files=folder, parents=(parent,) if parent else (), **facts))


def test_differences_name_parameters_data_code_packages_and_causes_first(store):
    step = {"type": "quantize_step", "version": 1, "config": {"scheme": "int8", "skip": []}, "max_drop": 0.5}
    other = {**step, "config": {"scheme": "int4", "skip": []}}
    program = variant(store, kind="program", text="p", code="1")
    newer = variant(store, kind="program", text="q", code="2")
    before = variant(store, program, step=step, data={"calibration": "sha256:" + "1" * 64})
    after = variant(store, newer, ("numpy==2.4.5", "torch==2"), step=other, metrics={"score": 0.25})
    store.names.set("m:int8", before)
    found = differences(store, before, after)
    said = [(one.aspect, one.what, one.before, one.after) for one in found]
    assert said[0] == ("code", "workbench", "1", "2"), "the program's difference comes first"
    assert found[0].of == "program it was made from"
    assert ("parameters", "config.scheme", "int8", "int4") in said
    assert ("environment", "numpy", "2.4.6", "2.4.5") in said
    assert ("environment", "torch", "", "2") in said
    assert ("figures", "score", "", "0.25") in said
    assert ("data", "calibration", "sha256:" + "1" * 12, "") in said
    assert any(one.of.startswith("m:int8 → ") for one in found)
    assert differences(store, before, before) == []


def test_machines_that_differ_are_told(store):
    one, two = variant(store, text="a"), variant(store, text="b")
    store.origins.note(one, "r", 0, {"processor": "A", "user": "u"})
    store.origins.note(two, "r", 0, {"processor": "B", "user": "v"})
    assert ("hardware", "processor", "A", "B") in [
        (d.aspect, d.what, d.before, d.after) for d in differences(store, one, two)
    ]


def test_every_question_has_an_answer(store, made, executor):
    found = {one.question: one for one in answers(store, made[1])}
    assert set(found) == {
        "model", "parameters", "data", "workbench", "code", "environment", "hardware", "who", "when",
    }  # fmt: skip
    assert "the same as now" in found["environment"].text
    assert found["environment"].value == lock().digest
    assert "core(s)" in found["hardware"].text
    assert "call" in found["parameters"].text


def test_an_environment_of_elsewhere_names_what_differs(store):
    here = lock()
    other = replace(here, packages=tuple(p for p in here.packages if not p.startswith("numpy==")))
    digest = variant(store, environment=other.digest)
    assert "not recorded" in {a.question: a.text for a in answers(store, digest)}["environment"]
    store.environments.note(other.digest, codec.dumps(other))
    text = {a.question: a.text for a in answers(store, digest)}["environment"]
    assert "now 1 differ(s): numpy" in text


def test_the_statement_names_everything_it_was_built_from(store, made):
    document = json.loads(json.dumps(provenance(store, made[1], "value-1")))
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["subject"][0]["digest"]["sha256"] == made[1].removeprefix("sha256:")
    built = document["predicate"]["buildDefinition"]
    assert built["externalParameters"]["step"] == "call_step"
    names = {one["name"] for one in built["resolvedDependencies"]}
    assert {"data", "environment"} <= names
    metadata = document["predicate"]["runDetails"]["metadata"]
    assert metadata["startedOn"] <= metadata["finishedOn"]
    assert metadata["finishedOn"].endswith("Z")
