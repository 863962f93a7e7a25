"""Pipelines of users' steps on the local executor: fan-out, what is known, conditions, exit handlers, inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from workbench import api
from workbench.errors import InputError, StepFailed

FACTOR = 3


def tripled(x):
    return x * FACTOR


@wb.step
def numbers(n: int) -> list:
    return list(range(n))


@wb.step
def weights(i: int, scale: float = 1.0):
    return {"w": np.full(4, tripled(i) * scale), "i": i}


@wb.step
def total(parts) -> float:
    return float(sum(part["w"].sum() for part in parts))


@wb.step(cache=False)
def mark(folder: str, text: str) -> str:
    with (Path(folder) / text).open("a") as file:
        file.write("x")
    return text


@wb.pipeline
def spread(n: int = 4):
    return total(weights.map(numbers(n), scale=2.0))


def test_a_fan_out_is_gathered_in_order(store):
    result = wb.run(spread, store=store)
    assert result.value() == 3.0 * 2 * 4 * (0 + 1 + 2 + 3)
    assert "for-each[3]/weights" in result.text()
    assert [step.state for step in store.runs.get(result.run).steps] == ["done"] * 6


def test_what_is_known_is_not_run_again(store):
    wb.run(spread, {"n": 3}, store=store)
    again = wb.run(spread, {"n": 4}, store=store)
    cached = {step.verb for step in store.runs.get(again.run).steps if step.cached}
    assert cached == {f"for-each[{i}]/weights" for i in range(3)}
    fresh = wb.run(spread, {"n": 3}, store=store, fresh=True)
    assert not any(step.cached for step in store.runs.get(fresh.run).steps)


def test_an_artifact_is_the_value_and_a_plain_output_is_plain(store):
    @wb.pipeline
    def one():
        return {"weights": weights(2), "count": numbers(3)}

    result = wb.run(one, store=store)
    assert result.outputs["count"] == [0, 1, 2]
    manifest = store.artifacts.manifest(result.outputs["weights"])
    assert manifest.step["parameters"] == {"i": 2}
    with pytest.raises(InputError, match="2 outputs"):
        result.value()


def test_conditions_choose_and_exit_handlers_run(store, tmp_path):
    @wb.step
    def fail(x: int) -> int:
        raise ValueError(f"no {x}")

    @wb.pipeline
    def guarded(folder: str):
        with wb.on_exit(mark(folder, "left")):
            n = numbers(3)
            with wb.each(n) as i, wb.when(i > 1):
                mark(folder, "large")
            fail(7)

    with pytest.raises(StepFailed, match="no 7") as caught:
        wb.run(guarded, {"folder": str(tmp_path)}, store=store)
    assert "x" in (tmp_path / "left").read_text()
    assert (tmp_path / "large").read_text() == "x"
    assert "raise ValueError" in caught.value.fields["traceback"]


def test_random_numbers_are_the_same_in_every_run(store, tmp_path):
    from workbench.store import Store

    @wb.step
    def draw(n: int) -> list:
        import random

        return [random.random(), float(np.random.rand()), hash("order of sets")]

    @wb.pipeline
    def dice():
        return draw.map([1, 2])

    other = Store(tmp_path / "other")
    first, second = wb.run(dice, store=store).value(), wb.run(dice, store=other).value()
    assert first == second
    assert first[0] != first[1]
    other.close()


def test_an_artifact_of_the_store_comes_in(store):
    made = wb.run(wb.pipeline(_one_weight), store=store)
    store.names.set("first", made.digest)

    @wb.pipeline
    def later():
        return total_of(wb.stored("first"))

    assert wb.run(later, store=store).value() == 4 * 3.0


def _one_weight():
    return weights(1)


@wb.step
def total_of(part) -> float:
    return float(part["w"].sum())


def test_missing_and_unknown_arguments_are_named(store):
    @wb.pipeline
    def needs(folder: str):
        return mark(folder, "a")

    with pytest.raises(InputError, match="needs folder"):
        wb.run(needs, store=store)
    with pytest.raises(InputError, match="has no input nope"):
        wb.run(needs, {"folder": "x", "nope": 1}, store=store)


def test_a_run_goes_to_the_background_and_is_cancelled(store):
    @wb.step
    def sleep(i: int) -> int:
        import time

        time.sleep(120)
        return i

    @wb.pipeline
    def long():
        return sleep.map([1, 2, 3])

    run = wb.run(long, store=store, background=True)
    _until(lambda: any(step.state == "running" for step in run.row.steps))
    api.cancel(run.id, store=store)
    _until(lambda: run.state == "cancelled")
    assert not any(step.state == "done" for step in run.row.steps)


def _until(holds, seconds=60.0):
    import time

    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)
