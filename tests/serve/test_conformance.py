"""A public client of the protocol finds everything it expects, JSON and binary."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.serve.conftest import RunningReplica

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the client's own imports are not ours to mend
    http = pytest.importorskip("tritonclient.http")

X = np.array([[-1, 2, 3, 4], [-5, 6, 7, 8.5]], np.float32)


@pytest.fixture(scope="module")
def triton(replica: RunningReplica) -> Iterator[Any]:
    client = http.InferenceServerClient(f"127.0.0.1:{replica.port}")
    yield client
    client.close()


def as_input(array: np.ndarray, datatype: str = "FP32", *, binary: bool) -> Any:
    tensor = http.InferInput("x", list(array.shape), datatype)
    return tensor.set_data_from_numpy(array, binary_data=binary)


def test_health(triton: Any) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("tiny")
    assert triton.is_model_ready("tiny", "1")
    assert not triton.is_model_ready("other")


def test_metadata(triton: Any) -> None:
    assert triton.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    assert triton.get_model_metadata("tiny") == triton.get_model_metadata("tiny", "1")
    assert triton.get_model_metadata("tiny") == {
        "name": "tiny",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [
            {"name": "double", "datatype": "FP32", "shape": [-1, 4]},
            {"name": "total", "datatype": "FP32", "shape": [-1]},
        ],
    }


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_infer(triton: Any, binary_in: bool, binary_out: bool) -> None:
    wanted = [
        http.InferRequestedOutput("total", binary_data=binary_out),
        http.InferRequestedOutput("double", binary_data=not binary_out),
    ]
    answer = triton.infer("tiny", [as_input(X, binary=binary_in)], outputs=wanted, request_id="r-1")
    np.testing.assert_array_equal(answer.as_numpy("double"), 2 * X)
    np.testing.assert_array_equal(answer.as_numpy("total"), X.sum(1))
    head = answer.get_response()
    assert (head["id"], head["model_name"], head["model_version"]) == ("r-1", "tiny", "1")
    assert [output["name"] for output in head["outputs"]] == ["total", "double"]


def test_infer_with_all_outputs_by_default(triton: Any) -> None:
    answer = triton.infer("tiny", [as_input(X, binary=True)], model_version="1")
    np.testing.assert_array_equal(answer.as_numpy("double"), 2 * X)
    assert all("binary_data_size" in output["parameters"] for output in answer.get_response()["outputs"])


def test_refusals_reach_the_client_as_text(triton: Any) -> None:
    error = pytest.importorskip("tritonclient.utils").InferenceServerException
    wrong = as_input(X.astype(np.float64), "FP64", binary=True)
    with pytest.raises(error, match="dtype is float64, expected float32") as caught:
        triton.infer("tiny", [wrong])
    assert caught.value.status() == "400"
    with pytest.raises(error, match="this replica serves 'tiny' version '1'"):
        triton.infer("other", [as_input(X, binary=True)])
