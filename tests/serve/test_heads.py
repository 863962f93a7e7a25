"""Remembered heads: the second reading is as strict as the first, and gives the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import BadRequest
from workbench.serve.heads import MOST_HEADS, ReadHeads, WrittenHeads
from workbench.serve.protocol import InferRequest, decode_request, encode_request, request_parts
from workbench.serve.tensors import Array

DTYPES = ("float32", "float64", "int64", "int8", "uint16", "bool")


class Reader:
    """Heads, and how many messages were read in full."""

    def __init__(self) -> None:
        self.full = 0
        self.heads = ReadHeads(self._read)

    def _read(self, body: memoryview, header_size: int) -> tuple[str, Mapping[str, Array]]:
        self.full += 1
        request = decode_request(body, None if header_size < 0 else str(header_size))
        return request.id, request.inputs

    def read(self, body: bytes, header_size: int) -> tuple[str, Mapping[str, Array]]:
        return self.heads.read(memoryview(bytearray(body)), header_size)


def message(inputs: Mapping[str, Array], name: str = "") -> tuple[bytes, int]:
    found = encode_request(InferRequest(inputs, binary=True, id=name))
    return found.body, -1 if found.header_size is None else found.header_size


@given(
    st.lists(
        st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 3), min_size=1, max_size=3)),
        min_size=1,
        max_size=3,
    ),
    st.integers(0, 2**32 - 1),
)
def test_the_second_reading_gives_what_the_first_would(kinds: list[tuple[str, list[int]]], seed: int) -> None:
    reader, random = Reader(), np.random.default_rng(seed)
    for _ in range(3):
        given_: dict[str, Any] = {
            f"x{at}": random.integers(0, 2, shape).astype(dtype) for at, (dtype, shape) in enumerate(kinds)
        }
        body, size = message(given_, "r")
        said, arrays = reader.read(body, size)
        assert said == "r"
        assert arrays.keys() == given_.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, given_[name], strict=True)


def test_one_reading_is_enough_for_raw_numbers() -> None:
    reader = Reader()
    for value in range(4):
        body, size = message({"x": np.full((2, 3), value, np.float32)})
        assert reader.read(body, size)[1]["x"].tolist() == [[value] * 3] * 2
    assert reader.full == 1


def test_a_known_head_with_other_bytes_behind_it_is_refused() -> None:
    reader = Reader()
    body, size = message({"x": np.ones(4, np.float32)})
    reader.read(body, size)
    for wrong in (body[:-1], body + b"\0", body[:size]):
        with pytest.raises(BadRequest):
            reader.read(wrong, size)


def test_every_truth_value_is_looked_at_every_time() -> None:
    reader = Reader()
    body, size = message({"x": np.ones(4, bool)})
    reader.read(body, size)
    with pytest.raises(BadRequest, match="neither 0 nor 1"):
        reader.read(body[:-1] + b"\2", size)


def test_values_in_the_json_are_not_remembered() -> None:
    reader = Reader()
    for value in (1, 2):
        tensors = [{"name": "x", "datatype": "FP32", "shape": [1], "data": [value]}]
        body = json.dumps({"inputs": tensors}).encode()
        assert reader.read(body, -1)[1]["x"].tolist() == [value]
        assert reader.read(body, len(body))[1]["x"].tolist() == [value]
    assert reader.full == 4


def test_many_heads_do_not_grow_without_end() -> None:
    reader, written = Reader(), WrittenHeads()
    for number in range(2 * MOST_HEADS):
        arrays = {"x": np.ones(number + 1, np.float32)}
        request = InferRequest(arrays, binary=True)
        parts = written.parts(("",), arrays, lambda request=request: request_parts(request))
        assert parts.join().body == request_parts(request).join().body
        reader.read(parts.join().body, len(parts.head))
    assert len(reader.heads._known) <= MOST_HEADS
    assert len(written._known) <= MOST_HEADS


def test_a_written_head_is_of_its_shape_and_dtype() -> None:
    written = WrittenHeads()
    for array in (
        np.ones(3, np.float32),
        np.zeros(3, np.float32),
        np.ones((3, 1), np.float32),
        np.ones(3, np.int32),
    ):
        request = InferRequest({"x": array}, binary=True)
        made = written.parts(("",), {"x": array}, lambda request=request: request_parts(request)).join()
        assert decode_request(made.body, str(made.header_size)).inputs["x"].dtype == array.dtype
        assert made.body == request_parts(request).join().body
