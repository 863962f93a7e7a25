"""What a shadow's answers are worth: outputs read from answers, and how far they are apart."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.route.http1 import Head, parse_response
from workbench.route.shadow import Audit, outputs_of
from workbench.serve.messages import InferAnswer, OutputWish
from workbench.serve.protocol import encode_answer


def answer(outputs: dict[str, np.ndarray], *, binary: bool, status: int = 200) -> tuple[Head, bytes]:
    wishes = [OutputWish(name, binary) for name in outputs]
    message = encode_answer(InferAnswer("m", "1", outputs), wishes)
    lines = [f"HTTP/1.1 {status} OK", f"content-length: {len(message.body)}"]
    lines += [f"{name}: {value}" for name, value in dict(message.headers).items()]
    return parse_response(("\r\n".join(lines) + "\r\n\r\n").encode(), b"POST"), message.body


@pytest.mark.parametrize("binary", [False, True])
def test_the_gap_and_the_top_are_measured(binary: bool) -> None:
    one = {"y": np.float32([[0.1, 0.7, 0.2]]), "n": np.int64([3])}
    two = {"y": np.float32([[0.1, 0.5, 0.4]]), "n": np.int64([3])}
    audit = Audit()
    audit.compare(answer(one, binary=binary), answer(two, binary=binary))
    audit.compare(answer(one, binary=binary), answer(one, binary=binary))
    seen = audit.read()
    assert (seen.compared, seen.unlike, seen.failed, seen.same_top) == (2, 0, 0, 2)
    assert seen.max_abs == pytest.approx(0.2, rel=1e-5)
    assert seen.mean_abs == pytest.approx((0.4 / 3 / 2) / 2, rel=1e-5)


def test_another_top_another_shape_another_status() -> None:
    audit = Audit()
    base = {"y": np.float32([[0.9, 0.1]])}
    audit.compare(answer(base, binary=True), answer({"y": np.float32([[0.1, 0.9]])}, binary=True))
    audit.compare(answer(base, binary=True), answer({"y": np.float32([[0.9]])}, binary=True))
    audit.compare(answer(base, binary=True), answer({"z": base["y"]}, binary=True))
    audit.compare(answer(base, binary=True), answer(base, binary=True, status=500))
    seen = audit.read()
    assert (seen.compared, seen.same_top, seen.unlike, seen.failed) == (1, 0, 2, 1)
    assert "same top 0.0%" in str(seen)


@given(st.binary(max_size=200))
def test_nonsense_is_no_output(body: bytes) -> None:
    head, _ = answer({"y": np.float32([1])}, binary=False)
    found = outputs_of(head, body)
    assert found is None or isinstance(found, dict)


@pytest.mark.parametrize("size", [-1, 10**9])
def test_sizes_that_lie(size: int) -> None:
    said = {"name": "y", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": size}}
    head, _ = answer({"y": np.float32([1])}, binary=False)
    assert outputs_of(head, json.dumps({"outputs": [said]}).encode()) is None
