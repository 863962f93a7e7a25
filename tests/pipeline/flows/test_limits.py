"""What a step of the local executor asks for: attempts, time, memory, processors; and that its death is its own."""

from __future__ import annotations

import importlib.util
import os
import signal
from pathlib import Path

import pytest

import workbench as wb
from workbench.errors import InputError, StepFailed


@wb.step(cache=False)
def mark(folder: str, text: str) -> str:
    (Path(folder) / text).touch()
    return text


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
    if importlib.util.find_spec("ray") is not None:
        for executor, asks in (("ray", "4096 processors.*2 nvidia"), ("ray://127.0.0.1:1", "2 nvidia")):
            with pytest.raises(InputError, match=rf"Ray cannot run this pipeline: fast asks for {asks}"):
                wb.run(big, {"folder": str(tmp_path)}, store=store, executor=executor)
    assert not list(tmp_path.glob("ran"))
