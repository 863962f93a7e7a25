"""What a step may return: files, plain values of some size, data; and what it may not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from workbench.errors import BadTensor, StepFailed


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


def test_a_step_that_returns_nothing_is_an_error(store):
    @wb.step
    def nothing(): ...

    @wb.step
    def no_number() -> int: ...

    @wb.step
    def no_file() -> Path:
        return Path("/nowhere/file")

    def flow_of(step):
        def empty():
            return step()

        return wb.pipeline(empty)

    for step in (nothing, no_number):
        with pytest.raises(StepFailed, match="returned nothing"):
            wb.run(flow_of(step), store=store)
    with pytest.raises(StepFailed, match="returned /nowhere/file, and there is nothing") as caught:
        wb.run(flow_of(no_file), store=store)
    assert caught.value.where == "no-file"


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
