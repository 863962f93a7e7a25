"""The IR: what is compiled is what Kubeflow's own compiler means, and what is wrong is refused by name."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench as wb
from workbench.errors import InputError, MissingInput
from workbench.pipeline.bring import bring, read
from workbench.pipeline.ir import condition, graph_of


@wb.step(retries=2, timeout_s=30, cpus=1, memory="1G")
def double(x: int) -> int:
    return 2 * x


@wb.step
def keep(x: int):
    return {"x": x}


@wb.step
def count(xs) -> int:
    return len(xs)


@wb.pipeline
def flow(n: int = 3):
    kept = keep.map([1, 2, 3])
    with wb.when(double(n) > 2):
        double(1)
    return count(kept)


def test_needs_are_written_where_kubeflow_reads_them():
    spec, platform = flow.spec, flow.platform
    container = spec["deploymentSpec"]["executors"]["exec-double"]["container"]
    assert container["resources"]["cpuLimit"] == 1
    assert spec["root"]["dag"]["tasks"]["double"]["retryPolicy"]["maxRetryCount"] == 2
    limits = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert limits["exec-double"] == {"activeDeadlineSeconds": 30}
    graph = graph_of(spec, platform)
    assert graph.components["comp-double"].timeout_s == 30


def test_compiling_twice_gives_the_same_text():
    assert wb.pipeline(_flow).yaml() == wb.pipeline(_flow).yaml()


def _flow(n: int = 2):
    return count(keep.map([1, 2]))


def test_a_file_means_the_same(tmp_path):
    path = tmp_path / "flow.yaml"
    path.write_text(flow.yaml())
    again = read(path)
    assert (again.spec, again.platform) == (flow.spec, flow.platform)


def _broken(change):
    spec = copy.deepcopy(flow.spec)
    change(spec)
    return spec


def test_cycles_and_unknown_references_are_named():
    def cycle(spec):
        tasks = spec["root"]["dag"]["tasks"]
        tasks["double"]["dependentTasks"] = ["count"]
        tasks["count"]["dependentTasks"].append("double")

    def unknown_task(spec):
        spec["root"]["dag"]["tasks"]["count"]["dependentTasks"] = ["nobody"]

    def unknown_component(spec):
        spec["root"]["dag"]["tasks"]["count"]["componentRef"]["name"] = "comp-gone"

    def unknown_output(spec):
        source = spec["root"]["dag"]["tasks"]["count"]["inputs"]["artifacts"]["xs"]["taskOutputArtifact"]
        source["outputArtifactKey"] = "nothing"

    def unknown_executor(spec):
        spec["components"]["comp-count"]["executorLabel"] = "exec-gone"

    def odd_condition(spec):
        spec["root"]["dag"]["tasks"]["count"]["triggerPolicy"] = {"condition": "__import__('os')"}

    def no_input(spec):
        del spec["root"]["dag"]["tasks"]["double"]["inputs"]["parameters"]["x"]

    for change, words in (
        (cycle, "wait for one another: .*count"),
        (unknown_task, "'nobody'"),
        (unknown_component, "comp-gone"),
        (unknown_output, "makes no 'nothing'"),
        (unknown_executor, "exec-gone"),
        (odd_condition, "not understood"),
        (no_input, "gets no x"),
    ):
        with pytest.raises(InputError, match=words):
            graph_of(_broken(change))


def test_another_version_of_the_schema_is_refused():
    def newer(spec):
        spec["schemaVersion"] = "3.0.0"

    def absent(spec):
        del spec["schemaVersion"]

    with pytest.raises(InputError, match=r"schema 3\.0\.0.*reads 2\.0 to 2\.1"):
        graph_of(_broken(newer))
    with pytest.raises(InputError, match="no Kubeflow pipeline"):
        graph_of(_broken(absent))


def test_what_is_no_pipeline_is_refused(tmp_path):
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(InputError, match="holds no pipeline"):
        bring(tmp_path / "list.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        bring(str(tmp_path / "bad.yaml"))
    with pytest.raises(MissingInput, match="no file"):
        bring("gone.yaml")
    with pytest.raises(MissingInput, match="cannot be imported"):
        bring("gone.module:flow")
    with pytest.raises(InputError, match="a int is no pipeline"):
        bring(3)


def test_mistakes_in_a_pipeline_function_are_named():
    def branches(n: int = 1):
        if double(n):
            keep(1)

    def compares(n: int = 1):
        with wb.when(double(n) == 2):
            keep(1)

    def leaks(n: int = 1):
        with wb.when(double(n) > 2):
            out = keep(1)
        return count(out)

    def untyped(n):
        return keep(n)

    def wrong_call(n: int = 1):
        return double(n, 2)

    def tensor(n: int = 1):
        return keep(object())

    def mixed(n: int = 1):
        return keep.map([1, n])

    for function, words in (
        (mixed, "holds plain values"),
        (branches, "known only when the pipeline runs"),
        (compares, "no condition"),
        (leaks, "cannot be used outside"),
        (untyped, "no plain type"),
        (wrong_call, "double: too many positional"),
        (tensor, "cannot write down"),
        (lambda: None, "has no step"),
    ):
        with pytest.raises(InputError, match=words):
            wb.pipeline(function)


@given(a=st.integers(-5, 5), b=st.integers(-5, 5), c=st.booleans())
def test_conditions_mean_what_they_say(a, b, c):
    text = "inputs.parameter_values['a'] < inputs.parameter_values['b'] && !(inputs.parameter_values['c'] == true)"
    tree = condition.parse(text, "t")
    assert condition.evaluate(tree, {"a": a, "b": b, "c": c}) == (a < b and not c)
    other = condition.parse(
        "int(inputs.parameter_values['a']) >= 2 || inputs.parameter_values['s'] != '&& !'", "t"
    )
    assert condition.evaluate(other, {"a": str(a), "s": "&& !"}) == (a >= 2)
