"""What a live replica answers to good, bad and hostile requests."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.serve.conftest import LIMIT_S, RunningReplica

X = np.zeros((1, 4), np.float32)
INFER = "/v2/models/tiny/infer"


def body_of(**tensor: Any) -> bytes:
    item = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0, 1, 2, 3], **tensor}
    return json.dumps({"inputs": [item]}).encode()


def ask(
    replica: RunningReplica, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, Any, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", replica.port, timeout=LIMIT_S)
    try:
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        text = response.read()
        kind = response.headers.get("content-type", "")
        return response.status, json.loads(text) if kind == "application/json" else text, response.headers
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "the JSON cannot be read"),
        (b'{"inputs": [', "the JSON cannot be read"),
        (body_of(name="y"), "missing x; unknown y"),
        (body_of(datatype="INT64"), "dtype is int64, expected float32"),
        (body_of(shape=[4]), "shape is [4], expected [batch, 4]"),
        (body_of(shape=[4, 1]), "shape is [4, 1], expected [batch, 4]"),
        (body_of(shape=[2, 4]), "shape [2, 4] needs 8 values"),
        (body_of(data=[0, 1, 2, float("nan")]), "NaN is not JSON"),
    ],
)
def test_a_request_that_does_not_fit_is_400_and_says_why(
    replica: RunningReplica, body: bytes, text: str
) -> None:
    status, answer, _ = ask(replica, "POST", INFER, body)
    assert status == 400
    assert text in answer["error"]


def test_an_unknown_output_is_400_and_names_the_outputs(replica: RunningReplica) -> None:
    document = {**json.loads(body_of()), "outputs": [{"name": "triple"}]}
    status, answer, _ = ask(replica, "POST", INFER, json.dumps(document).encode())
    assert status == 400
    assert "no output 'triple'" in answer["error"]
    assert "outputs: double, total" in answer["error"]


@pytest.mark.parametrize("size", ["12x", "-1", "99999", "1" * 40])
def test_a_wrong_header_length_is_400(replica: RunningReplica, size: str) -> None:
    status, answer, _ = ask(replica, "POST", INFER, body_of(), Inference_Header_Content_Length=size)
    assert status == 400
    assert "inference-header-content-length is" in answer["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("POST", "/v2/models/other/infer", 404, "this replica serves 'tiny' version '1'"),
        ("POST", "/v2/models/tiny/versions/2/infer", 404, "no model 'tiny' version '2'"),
        ("GET", "/v2/models/other", 404, "no model 'other'"),
        ("GET", "/v2/models/other/ready", 404, "no model 'other'"),
        ("GET", "/v3", 404, "Not Found: GET /v3"),
        ("GET", "/v2/", 404, "Not Found: GET /v2/"),
        ("GET", INFER, 405, "Method Not Allowed: GET"),
        ("POST", "/v2/health/live", 405, "Method Not Allowed: POST"),
        ("DELETE", "/v2/models/tiny", 405, "Method Not Allowed: DELETE"),
    ],
)
def test_wrong_addresses_and_methods(
    replica: RunningReplica, method: str, path: str, status: int, text: str
) -> None:
    found, answer, headers = ask(replica, method, path, b"{}" if method == "POST" else None)
    assert found == status
    assert text in answer["error"]
    assert status != 405 or headers["allow"]


def test_the_versioned_address_answers_too(replica: RunningReplica) -> None:
    status, answer, _ = ask(replica, "POST", "/v2/models/tiny/versions/1/infer", body_of())
    assert status == 200
    assert answer["outputs"][0] == {
        "name": "double",
        "datatype": "FP32",
        "shape": [1, 4],
        "data": [0.0, 2.0, 4.0, 6.0],
    }


def test_every_answer_says_who_gave_it(replica: RunningReplica) -> None:
    for method, path in (("GET", "/v2/health/live"), ("GET", "/nowhere"), ("POST", INFER)):
        headers = ask(replica, method, path, b"" if method == "POST" else None)[2]
        assert (headers["x-mlops-track"], headers["x-mlops-version"]) == ("stable", "1")


@pytest.mark.parametrize("size", [(1 << 20) + 1, 16 << 20])
def test_a_body_over_the_limit_is_413_and_the_connection_stays(replica: RunningReplica, size: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", replica.port, timeout=LIMIT_S)
    connection.request("POST", INFER, bytes(size))
    response = connection.getresponse()
    assert response.status == 413
    assert "send at most 1048576 bytes" in json.loads(response.read())["error"]
    used = connection.sock
    connection.request("POST", INFER, body_of())
    assert connection.getresponse().status == 200
    assert connection.sock is used
    connection.close()


@pytest.mark.parametrize(
    "extra", [f"Content-Length: {1 << 40}", "Content-Length: 2000000\r\nExpect: 100-continue"]
)
def test_a_body_far_over_the_limit_is_not_even_read(replica: RunningReplica, extra: str) -> None:
    with socket.create_connection(("127.0.0.1", replica.port), timeout=LIMIT_S) as raw:
        raw.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\n{extra}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer


def test_a_chunked_body_over_the_limit_is_413(replica: RunningReplica) -> None:
    with socket.create_connection(("127.0.0.1", replica.port), timeout=LIMIT_S) as raw:
        raw.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(17):
            raw.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")
        raw.sendall(b"0\r\n\r\n")
        assert raw.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_compressed_body_is_415(replica: RunningReplica) -> None:
    status, answer, _ = ask(replica, "POST", INFER, body_of(), Content_Encoding="gzip")
    assert (status, answer["error"].splitlines()[0]) == (415, "a compressed body is not supported")


def test_bytes_that_are_not_http_are_refused(replica: RunningReplica) -> None:
    with socket.create_connection(("127.0.0.1", replica.port), timeout=LIMIT_S) as raw:
        raw.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        assert raw.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_a_client_that_leaves_does_no_harm(replica: RunningReplica) -> None:
    for part in (b"POST ", f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{{".encode()):
        with socket.create_connection(("127.0.0.1", replica.port), timeout=LIMIT_S) as raw:
            raw.sendall(part)
    assert ask(replica, "POST", INFER, body_of())[0] == 200
    assert "Exception in ASGI" not in replica.log.read_text()


def test_a_model_that_fails_is_500_and_the_next_request_works(replica: RunningReplica) -> None:
    status, answer, _ = ask(replica, "POST", INFER, body_of(data=[-2000, 0, 0, 0]))
    assert status == 500
    assert "RuntimeError: the model is in a bad mood" in answer["error"]
    assert ask(replica, "POST", INFER, body_of())[0] == 200
    lines = [json.loads(line) for line in replica.log.read_text().splitlines()]
    failure = next(line for line in lines if "bad mood" in line["event"])
    assert failure["level"] == "error"
    assert "RuntimeError" in failure["traceback"]
    assert failure["model"] == "tiny"


def test_health_and_metrics_answer_during_an_inference(replica: RunningReplica) -> None:
    slow = threading.Thread(target=ask, args=(replica, "POST", INFER, body_of(data=[1.0, 0, 0, 0])))
    slow.start()
    try:
        deadline = time.monotonic() + LIMIT_S
        while b'track="stable"} 1\n' not in in_flight(ask(replica, "GET", "/metrics")[1]):
            assert time.monotonic() < deadline
        assert slow.is_alive()
        assert ask(replica, "GET", "/v2/health/ready")[0] == 200
    finally:
        slow.join(LIMIT_S)


def in_flight(metrics: bytes) -> bytes:
    return b"".join(line for line in metrics.splitlines(True) if line.startswith(b"mlops_requests_in_flight"))


def test_metrics_count_requests_by_status(start: Callable[..., RunningReplica]) -> None:
    replica = start(loader="load_moody").wait_ready()
    for data, times in (([0, 0, 0, 0], 3), ([0, 0, 0], 2), ([-2000, 0, 0, 0], 1)):
        for _ in range(times):
            ask(replica, "POST", INFER, body_of(data=data))
    _, text, headers = ask(replica, "GET", "/metrics")
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    labels = 'model="tiny",version="1",track="stable"'
    for line in (
        f'mlops_requests_total{{{labels},code="200"}} 3',
        f'mlops_requests_total{{{labels},code="400"}} 2',
        f'mlops_requests_total{{{labels},code="500"}} 1',
        f"mlops_errors_total{{{labels}}} 1",
        f"mlops_requests_in_flight{{{labels}}} 0",
        f'mlops_request_seconds_bucket{{{labels},le="+Inf"}} 6',
        f"mlops_request_seconds_count{{{labels}}} 6",
    ):
        assert line in text.decode().splitlines()


def test_a_full_queue_is_503_with_retry_after(start: Callable[..., RunningReplica]) -> None:
    replica = start("--queue", "1", loader="load_moody").wait_ready()
    answers: list[tuple[int, Any, http.client.HTTPMessage]] = []

    def send() -> None:
        answers.append(ask(replica, "POST", INFER, body_of(data=[1.0, 0, 0, 0])))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    statuses = [status for status, _, _ in answers]
    assert len(statuses) == 6
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 2, "one runs, one waits, whatever the others get"
    refused = next(answer for answer in answers if answer[0] == 503)
    assert refused[2]["retry-after"] == "1"
    assert "waiting already" in refused[1]["error"]


def test_many_clients_at_once_get_their_own_answers(replica: RunningReplica) -> None:
    wrong: list[object] = []

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        with replica.client() as client:
            for at in range(25):
                x = -random.random((seed + 1, 4), np.float32)
                reply = client.infer("tiny", {"x": x}, binary=at % 2 == 0, request_id=f"{seed}-{at}")
                if reply.answer.id != f"{seed}-{at}" or not np.array_equal(reply.outputs["double"], 2 * x):
                    wrong.append(reply)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert wrong == []


def test_an_empty_batch_and_nan_bytes_are_answered(replica: RunningReplica) -> None:
    with replica.client() as client:
        assert client.infer("tiny", {"x": X[:0]}).outputs["double"].shape == (0, 4)
        odd = np.array([[-1, np.nan, np.inf, -np.inf]], np.float32)
        np.testing.assert_array_equal(client.infer("tiny", {"x": odd}).outputs["double"], 2 * odd)
