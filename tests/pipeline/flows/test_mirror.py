"""The mirror check: equal runs are equal, and a difference is found at its first step, with its cause."""

from __future__ import annotations

import numpy as np

import workbench as wb
from workbench.pipeline.mirror import explain, reflections


@wb.step
def start(n: int):
    return np.arange(n)


@wb.step(cache=False)
def clocked(data):
    import time

    return {"data": data, "at": time.time_ns()}


@wb.step
def count(data) -> int:
    return len(data["data"])


@wb.pipeline
def steady(n: int = 3):
    return {"all": start.map([4, 2]), "one": start(n)}


@wb.pipeline
def unsteady(n: int = 3):
    return count(clocked(start(n)))


def test_the_same_pipeline_leaves_the_same(store):
    result = wb.mirror(steady, against="local", store=store)
    assert result.equal
    assert result.causes == []
    assert "3 of 3 steps are the same" in result.text()


def test_the_first_difference_is_named_and_explained(store):
    result = wb.mirror(unsteady, against="local", store=store)
    assert not result.equal
    assert result.first == "clocked"
    assert {cause["aspect"] for cause in result.causes} >= {"hidden input"}


def test_another_environment_is_the_cause(store, monkeypatch):
    from workbench.pipeline.walk import orders

    one = wb.run(steady, store=store)
    monkeypatch.setattr(orders.provenance, "note_environment", lambda _: "sha256:" + "0" * 64)
    other = wb.run(steady, store=store)
    steps = reflections(*(store.runs.get(run.run).steps for run in (one, other)))
    assert not steps[0].equal
    assert "environment" in {cause.aspect for cause in explain(store, steps[0])}


def test_a_run_can_be_mirrored_by_its_id(store):
    run = wb.run(steady, {"n": 5}, store=store)
    again = wb.mirror(run.run, against="local", store=store)
    assert again.equal
