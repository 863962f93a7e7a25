"""The wire format: what goes in comes out, and no bytes do worse than BadRequest."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from workbench.errors import BadRequest, ServeError
from workbench.serve.protocol import (
    InferAnswer,
    InferRequest,
    OutputWish,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
)
from workbench.serve.tensors import DATATYPES, datatype_of

DTYPES = st.sampled_from(sorted(DATATYPES.values())).map(np.dtype)
NAMES = st.text(min_size=1, max_size=8)


def arrays(*, finite: bool) -> st.SearchStrategy[np.ndarray]:
    def elements(dtype: np.dtype[Any]) -> st.SearchStrategy[Any]:
        if dtype.kind == "f" and finite:
            return hnp.from_dtype(dtype, allow_nan=False, allow_infinity=False)
        return hnp.from_dtype(dtype)

    shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    return DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, shapes, elements=elements(dtype)))


def assert_same(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> None:
    assert list(one) == list(two)
    for name, array in one.items():
        assert two[name].dtype == array.dtype
        assert two[name].shape == array.shape
        np.testing.assert_array_equal(two[name], array)


def text_of(size: int | None) -> str | None:
    return None if size is None else str(size)


@given(
    inputs=st.dictionaries(NAMES, arrays(finite=False), max_size=3),
    wishes=st.lists(st.builds(OutputWish, NAMES, st.booleans()), max_size=2),
    binary=st.booleans(),
    name=st.text(max_size=8),
)
@settings(deadline=None, max_examples=150)
def test_binary_request_round_trip(
    inputs: dict[str, np.ndarray], wishes: list[OutputWish], binary: bool, name: str
) -> None:
    request = InferRequest(inputs, tuple(wishes), binary, name)
    message = encode_request(request, binary=True)
    back = decode_request(message.body, text_of(message.header_size))
    assert (back.outputs, back.binary, back.id) == (request.outputs, binary, name)
    assert_same(inputs, dict(back.inputs))


@given(inputs=st.dictionaries(NAMES, arrays(finite=True), max_size=3))
@settings(deadline=None, max_examples=150)
def test_json_request_round_trip(inputs: dict[str, np.ndarray]) -> None:
    message = encode_request(InferRequest(inputs), binary=False)
    assert message.header_size is None
    assert_same(inputs, dict(decode_request(message.body).inputs))


@given(outputs=st.dictionaries(NAMES, st.tuples(arrays(finite=True), st.booleans()), max_size=3))
@settings(deadline=None, max_examples=150)
def test_answer_round_trip_with_mixed_outputs(outputs: dict[str, tuple[np.ndarray, bool]]) -> None:
    given_outputs = {name: array for name, (array, _) in outputs.items()}
    wishes = [OutputWish(name, binary) for name, (_, binary) in outputs.items()]
    message = encode_answer(InferAnswer("m", "7", given_outputs, "id-1"), wishes)
    back = decode_answer(message.body, text_of(message.header_size))
    assert (back.model, back.version, back.id) == ("m", "7", "id-1")
    assert_same(given_outputs, dict(back.outputs))


@given(body=st.binary(max_size=200), size=st.none() | st.text(max_size=12) | st.integers(0, 250).map(str))
@settings(deadline=None, max_examples=400)
@example(body=b"[" * 200_000, size=None)
@example(body=b"9" * 5000, size=None)
@example(body=b"{}", size="٣")
@example(body=b"{}", size="-1")
def test_random_bytes_are_a_bad_request(body: bytes, size: str | None) -> None:
    with pytest.raises(BadRequest):
        decode_request(body, size)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
TENSOR_LIKE = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("x") | JSON_VALUES,
        "datatype": st.sampled_from([*DATATYPES, "BYTES", "BF16"]) | JSON_VALUES,
        "shape": st.lists(st.integers(-1, 5), max_size=3)
        | st.lists(st.sampled_from([0, 1, 2**31, 2**63, 2**70]), max_size=40)
        | JSON_VALUES,
        "data": st.lists(st.integers() | st.floats() | st.booleans() | st.text(max_size=2), max_size=6)
        | JSON_VALUES,
        "parameters": st.fixed_dictionaries(
            {}, optional={"binary_data_size": st.integers(-1, 40) | JSON_VALUES}
        )
        | JSON_VALUES,
    },
)


@given(
    document=st.fixed_dictionaries(
        {"inputs": st.lists(TENSOR_LIKE, max_size=3) | JSON_VALUES},
        optional={"outputs": st.lists(TENSOR_LIKE, max_size=2), "id": JSON_VALUES, "parameters": JSON_VALUES},
    ),
    tail=st.binary(max_size=40),
)
@settings(deadline=None, max_examples=600)
def test_documents_that_look_like_requests_never_crash(document: dict[str, Any], tail: bytes) -> None:
    head = json.dumps(document).encode()
    try:
        request = decode_request(head + tail, str(len(head)))
    except BadRequest:
        return
    assert all(isinstance(array, np.ndarray) for array in request.inputs.values())


def request_with(**tensor: Any) -> bytes:
    item = {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3, 4], **tensor}
    return json.dumps({"inputs": [{k: v for k, v in item.items() if v is not None}]}).encode()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "the JSON cannot be read"),
        (b"{", "the JSON cannot be read"),
        (b"\xff\xfe{}", "the JSON cannot be read"),
        (b"[]", "the JSON must be an object"),
        (b"{}", "no 'inputs'"),
        (b'{"inputs": 3}', "'inputs' must be a list of objects"),
        (b'{"inputs": [{}]}', "a tensor needs a name"),
        (b'{"inputs": [], "outputs": [1]}', "'outputs' must be a list of objects"),
        (b'{"inputs": [], "id": 7}', "id must be text"),
        (b'{"inputs": [], "parameters": []}', "parameters must be an object"),
        (request_with(datatype="BYTES"), "datatype 'BYTES' is not supported"),
        (request_with(datatype=["FP32"]), "is not supported"),
        (request_with(shape=[2, -2]), "shape must be a list of whole numbers"),
        (request_with(shape=[2, True]), "shape must be a list of whole numbers"),
        (request_with(shape=[1] * 33), "shape must be a list of whole numbers"),
        (request_with(shape=[2, 3]), "data has 4 values"),
        (request_with(data=[[1, 2], [3]]), "data is ragged"),
        (request_with(data=[[1, 2, 3, 4]]), "data has shape [1, 4]"),
        (request_with(data="AAAA"), "data must be a list"),
        (request_with(data=["1", "2", "3", "4"]), "values that are not FP32"),
        (request_with(data=[True, False, True, True]), "values that are not FP32"),
        (request_with(data=[1, 2, 3, None]), "values that are not FP32"),
        (request_with(data=[1, 2, 3, 1e300]), "outside the range of FP32"),
        (request_with(datatype="INT8", data=[1, 2, 3, 128]), "outside the range of INT8"),
        (request_with(datatype="INT64", data=[1, 2, 3, 2**63]), "outside the range of INT64"),
        (request_with(datatype="INT32", data=[1, 2, 3, 4.5]), "values that are not INT32"),
        (request_with(datatype="BOOL", data=[0, 1, 1, 1]), "values that are not BOOL"),
        (request_with(data=None), 'exactly one of "data"'),
        (request_with(parameters={"binary_data_size": 0}), 'exactly one of "data"'),
        (request_with(data=None, parameters={"binary_data_size": 16}), "0 bytes are left"),
        (
            request_with(data=None, parameters={"shared_memory_region": "r"}),
            "'shared_memory_region' is not supported",
        ),
        (request_with().replace(b"4]}", b"NaN]}"), "NaN is not JSON"),
    ],
)
def test_bad_requests_say_what_was_expected(body: bytes, text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_request(body)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("sizes", "tail", "text"),
    [
        ([15], 15, "shape [2, 2] needs 4 values: 16 bytes"),
        ([16], 17, "1 bytes behind the last tensor"),
        ([16], 12, "binary_data_size is 16, 12 bytes are left"),
        ([-1], 16, "binary_data_size is -1"),
        ([True], 16, "binary_data_size is True"),
    ],
)
def test_binary_sizes_must_add_up(sizes: list[int], tail: int, text: str) -> None:
    tensors = [
        {"name": f"x{at}", "datatype": "FP32", "shape": [2, 2], "parameters": {"binary_data_size": size}}
        for at, size in enumerate(sizes)
    ]
    head = json.dumps({"inputs": tensors}).encode()
    with pytest.raises(BadRequest) as caught:
        decode_request(head + bytes(tail), str(len(head)))
    assert text in str(caught.value)


def test_a_bool_byte_must_be_zero_or_one() -> None:
    message = encode_request(InferRequest({"x": np.array([True, False])}))
    with pytest.raises(BadRequest, match="neither 0 nor 1"):
        decode_request(message.body[:-1] + b"\x02", text_of(message.header_size))


def test_an_input_given_twice() -> None:
    body = json.loads(request_with())
    body["inputs"] *= 2
    with pytest.raises(BadRequest, match="given twice"):
        decode_request(json.dumps(body).encode())


def test_nan_travels_as_bytes_but_not_as_json() -> None:
    outputs = {"y": np.array([1.0, np.nan, -np.inf], np.float32)}
    message = encode_answer(InferAnswer("m", "1", outputs), [OutputWish("y", True)])
    np.testing.assert_array_equal(
        decode_answer(message.body, text_of(message.header_size)).outputs["y"], outputs["y"]
    )
    with pytest.raises(ServeError, match="JSON cannot carry") as caught:
        encode_answer(InferAnswer("m", "1", outputs), [OutputWish("y", False)])
    assert "binary_data" in caught.value.fix


def test_tensors_are_aligned_writable_and_not_copied() -> None:
    array = np.arange(1024, dtype=np.float64)
    message = encode_request(InferRequest({"x": array}))
    body = bytearray(message.body)
    (back,) = decode_request(body, text_of(message.header_size)).inputs.values()
    assert back.flags.aligned
    assert back.flags.writeable
    assert np.shares_memory(back, np.frombuffer(body, np.uint8))


def test_tensors_at_an_odd_address_are_copied_into_an_aligned_one() -> None:
    head = json.dumps(
        {"inputs": [{"name": "x", "datatype": "FP64", "shape": [2], "parameters": {"binary_data_size": 16}}]}
    ).encode()
    for pad in range(8):
        padded = head + b" " * pad
        body = bytearray(padded + np.array([1.5, -2.0]).tobytes())
        (back,) = decode_request(body, str(len(padded))).inputs.values()
        assert back.flags.aligned
        assert back.tolist() == [1.5, -2.0]


def test_nested_and_flat_data_are_the_same() -> None:
    nested = decode_request(request_with(data=[[1, 2], [3, 4]])).inputs["x"]
    assert nested.tolist() == decode_request(request_with()).inputs["x"].tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_a_dtype_without_a_name() -> None:
    with pytest.raises(ServeError, match="complex64 has no Open Inference Protocol name"):
        datatype_of("complex64")
