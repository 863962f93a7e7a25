"""Pipelines of users' steps on the local executor: values, fan-out, conditions, exit handlers, needs, failures."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from workbench import api
from workbench.errors import BadTensor, InputError, StepFailed

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


def test_files_travel_as_paths(store):
    @wb.step
    def write(text: str) -> Path:
        out = Path("note.txt").absolute()
        out.write_text(text)
        return out

    @wb.step
    def read(note: Path) -> str:
        return note.name + ":" + note.read_text()

    @wb.pipeline
    def files():
        return read(write("hello"))

    before = Path.cwd()
    os.chdir(store.home)
    try:
        assert wb.run(files, store=store).value() == "note.txt:hello"
    finally:
        os.chdir(before)


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


def test_a_failed_step_is_tried_again_and_then_not(store, tmp_path):
    @wb.step(retries=2, cache=False)
    def third(folder: str) -> int:
        count = len(list(Path(folder).iterdir())) + 1
        (Path(folder) / str(count)).touch()
        if count < 3:
            raise RuntimeError("not yet")
        return count

    @wb.pipeline
    def stubborn(folder: str):
        return third(folder)

    (tmp_path / "tries").mkdir()
    result = wb.run(stubborn, {"folder": str(tmp_path / "tries")}, store=store)
    assert result.value() == 3
    assert store.runs.get(result.run).steps[0].attempt == 3


def test_a_step_that_takes_too_long_is_ended(store):
    @wb.step(timeout_s=1)
    def sleep() -> int:
        import time

        time.sleep(60)
        return 1

    @wb.pipeline
    def slow():
        return sleep()

    with pytest.raises(StepFailed, match="longer than 1 s"):
        wb.run(slow, store=store)


def test_a_step_killed_takes_nobody_along(store, tmp_path):
    @wb.step(retries=1, cache=False)
    def die(folder: str, i: int) -> int:
        flag = Path(folder) / f"died{i}"
        if i == 1 and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return i

    @wb.pipeline
    def some(folder: str):
        with wb.each([0, 1, 2]) as i:
            died = die(folder, i)
        return {"Output": died}

    assert wb.run(some, {"folder": str(tmp_path)}, store=store).value() == [0, 1, 2]


def test_more_memory_than_asked_for_is_an_error(store):
    @wb.step(memory="100M")
    def eat() -> int:
        return len(bytearray(400_000_000))

    @wb.pipeline
    def hungry():
        return eat()

    with pytest.raises(StepFailed, match="MemoryError"):
        wb.run(hungry, store=store)


def test_what_cannot_be_honoured_is_refused_before_anything_starts(store, tmp_path):
    @wb.step(accelerators=2, cpus=4096)
    def fast(x: str) -> int:
        return 1

    @wb.pipeline
    def big(folder: str):
        fast(mark(folder, "ran"))

    with pytest.raises(InputError, match=r"fast asks for 4096 processors.*2 nvidia.com/gpu"):
        wb.run(big, {"folder": str(tmp_path)}, store=store)
    assert not list(tmp_path.glob("ran"))


def test_a_step_that_returns_nothing_is_an_error(store):
    @wb.step
    def nothing(): ...

    @wb.step
    def no_number() -> int: ...

    def flow_of(step):
        def empty():
            return step()

        return wb.pipeline(empty)

    for step in (nothing, no_number):
        with pytest.raises(StepFailed, match="returned nothing"):
            wb.run(flow_of(step), store=store)


def test_a_huge_plain_value_is_refused_and_as_an_artifact_taken(store):
    @wb.step
    def text() -> str:
        return "x" * 3_000_000

    @wb.step
    def array():
        return np.zeros(3_000_000, dtype=np.uint8)

    @wb.step
    def size(value) -> int:
        return value.nbytes

    @wb.pipeline
    def plain():
        return text()

    @wb.pipeline
    def stored():
        return size(array())

    with pytest.raises(StepFailed, match="1048576 are the most"):
        wb.run(plain, store=store)
    assert wb.run(stored, store=store).value() == 3_000_000


def test_what_is_no_data_names_itself(store):
    @wb.step
    def odd():
        return {1, 2}

    @wb.pipeline
    def flow():
        return odd()

    with pytest.raises(BadTensor, match="set"):
        wb.run(flow, store=store)


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
