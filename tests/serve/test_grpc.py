"""A public gRPC client of the protocol finds everything it expects, and a drain loses none of its calls."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.serve.conftest import LIMIT_S, RunningReplica

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the client's own imports are not ours to mend
    grpc = pytest.importorskip("grpc")
    triton = pytest.importorskip("tritonclient.grpc")
    raw = pytest.importorskip("tritonclient.grpc.service_pb2")
    error_type = pytest.importorskip("tritonclient.utils").InferenceServerException

X = np.array([[-1, 2, 3, 4], [-5, 6, 7, 8.5]], np.float32)
Start = Callable[..., RunningReplica]


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[RunningReplica]:
    options = ("--grpc-port", "0", "--max-body-mib", "1", "--shared-memory", "/mlops-test")
    running = RunningReplica(tmp_path_factory.mktemp("grpc"), bundle, *options, loader="load_moody")
    try:
        yield running.wait_ready()
    finally:
        running.end()


@pytest.fixture(scope="module")
def client(replica: RunningReplica) -> Iterator[Any]:
    with triton.InferenceServerClient(f"127.0.0.1:{replica.ready['grpc_port']}") as client:
        yield client


def as_input(array: np.ndarray, datatype: str = "FP32") -> Any:
    return triton.InferInput("x", list(array.shape), datatype).set_data_from_numpy(array)


def test_health(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiny")
    assert client.is_model_ready("tiny", "1")
    with pytest.raises(error_type, match="no model 'other'"):
        client.is_model_ready("other")


def test_metadata(client: Any) -> None:
    assert list(client.get_server_metadata().extensions) == ["binary_tensor_data", "system_shared_memory"]
    found = client.get_model_metadata("tiny", as_json=True)
    assert found["platform"] == "onnxruntime_onnx"
    assert found["inputs"] == [{"name": "x", "datatype": "FP32", "shape": ["-1", "4"]}]
    assert [output["name"] for output in found["outputs"]] == ["double", "total"]


def test_infer(client: Any) -> None:
    wanted = [triton.InferRequestedOutput("total"), triton.InferRequestedOutput("double")]
    answer = client.infer("tiny", [as_input(X)], outputs=wanted, request_id="r-1")
    np.testing.assert_array_equal(answer.as_numpy("double"), 2 * X)
    np.testing.assert_array_equal(answer.as_numpy("total"), X.sum(1))
    response = answer.get_response()
    assert (response.id, response.model_name, response.model_version) == ("r-1", "tiny", "1")
    assert [output.name for output in response.outputs] == ["total", "double"]


def test_typed_contents(replica: RunningReplica) -> None:
    request = raw.ModelInferRequest(model_name="tiny")
    tensor = request.inputs.add(name="x", datatype="FP32", shape=[2, 4])
    tensor.contents.fp32_contents.extend(X.reshape(-1).tolist())
    response = raw.ModelInferResponse.FromString(call(replica, request.SerializeToString()))
    np.testing.assert_array_equal(np.frombuffer(response.raw_output_contents[1], np.float32), X.sum(1))


def call(replica: RunningReplica, data: bytes) -> bytes:
    with grpc.insecure_channel(f"127.0.0.1:{replica.ready['grpc_port']}") as channel:
        method = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        return method(data, timeout=LIMIT_S)


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        (lambda r: r.ClearField("raw_input_contents"), "INVALID_ARGUMENT", "neither contents nor raw"),
        (lambda r: r.raw_input_contents.append(b"more"), "INVALID_ARGUMENT", "without an input"),
        (lambda r: r.inputs[0].shape.append(3), "INVALID_ARGUMENT", "needs 24 values"),
        (lambda r: r.inputs[0].shape.append(-1), "INVALID_ARGUMENT", "not negative"),
        (lambda r: setattr(r.inputs[0], "datatype", "BYTES"), "INVALID_ARGUMENT", "is not supported"),
        (lambda r: setattr(r.inputs[0], "name", "y"), "INVALID_ARGUMENT", "inputs do not fit"),
        (lambda r: setattr(r, "model_version", "2"), "NOT_FOUND", "no model"),
        (lambda r: r.outputs.add(name="none"), "INVALID_ARGUMENT", "no output 'none'"),
        (lambda r: r.inputs.add().CopyFrom(r.inputs[0]), "INVALID_ARGUMENT", "given twice"),
    ],
)
def test_bad_requests_say_why(replica: RunningReplica, change: Any, code: str, text: str) -> None:
    request = raw.ModelInferRequest(model_name="tiny", raw_input_contents=[X.tobytes()])
    request.inputs.add(name="x", datatype="FP32", shape=[2, 4])
    change(request)
    with pytest.raises(grpc.RpcError) as caught:
        call(replica, request.SerializeToString())
    assert caught.value.code().name == code
    assert text in caught.value.details()


@pytest.mark.parametrize("data", [b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", b""])
def test_bytes_that_are_no_request(replica: RunningReplica, data: bytes) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(replica, data)
    assert caught.value.code().name in ("INVALID_ARGUMENT", "NOT_FOUND")


def test_a_message_over_the_limit_is_refused_and_the_next_is_answered(client: Any) -> None:
    with pytest.raises(error_type, match="larger than max"):
        client.infer("tiny", [as_input(np.zeros((100_000, 4), np.float32))])
    assert client.infer("tiny", [as_input(X)]).as_numpy("total").shape == (2,)


def test_a_failing_model_is_internal_and_the_trace_comes_back(replica: RunningReplica, client: Any) -> None:
    with pytest.raises(error_type, match="bad mood"):
        client.infer("tiny", [as_input(X - 2000)], headers={"x-request-id": "mine"})
    wait_until(lambda: '"request_id": "mine"' in replica.log.read_text())


def test_a_drained_replica_says_goaway_and_comes_back(start: Start, tmp_path: Path) -> None:
    state = tmp_path / "state"
    replica = start("--grpc-port", "0", "--state-file", str(state)).wait_ready()
    address = f"127.0.0.1:{replica.ready['grpc_port']}"
    with triton.InferenceServerClient(address) as client:
        assert client.is_server_ready()
        state.write_text("draining")
        wait_until(lambda: not answers(client))
        state.write_text("serving")
        wait_until(lambda: answers(client))
        np.testing.assert_array_equal(client.infer("tiny", [as_input(X)]).as_numpy("double"), 2 * X)


def answers(client: Any) -> bool:
    try:
        return bool(client.is_server_live(client_timeout=1.0))
    except error_type:
        return False


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_stop_answers_calls_in_flight(start: Start) -> None:
    replica = start("--grpc-port", "0", loader="load_moody").wait_ready()
    answered: list[Any] = []

    def send() -> None:
        with triton.InferenceServerClient(f"127.0.0.1:{replica.ready['grpc_port']}") as client:
            answered.append(client.infer("tiny", [as_input(np.array([[0.5, 0, 0, 0]], np.float32))]))

    thread = threading.Thread(target=send)
    thread.start()
    with replica.client() as http:
        wait_until(lambda: 'requests_in_flight{model="tiny",version="1",track="stable"} 1' in http.metrics())
    assert replica.stop() == 0
    thread.join(LIMIT_S)
    assert len(answered) == 1


def test_a_taken_grpc_port_is_an_error_and_not_half_a_server(start: Start, replica: RunningReplica) -> None:
    other = start("--grpc-port", str(replica.ready["grpc_port"]))
    assert other.process.wait(LIMIT_S) == 1
    assert "cannot serve gRPC on port" in other.error_file.read_text()
    assert not other.ready_file.exists()
