"""How a replica starts, fails to start, drains and stops."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.serve.conftest import LIMIT_S, RunningReplica
from tests.serve.tiny_bundles import write_bundle
from workbench import errors
from workbench.errors import BadRequest, ServeError
from workbench.serve.client import InferenceClient, Reply

Start = Callable[..., RunningReplica]
X = np.zeros((1, 4), np.float32)


def seconds(value: float) -> dict[str, np.ndarray]:
    """Input that makes the moody model take this long."""
    return {"x": np.array([[value, 0, 0, 0]], np.float32)}


def test_the_ready_file_tells_where_and_what(start: Start) -> None:
    before = time.time_ns()
    replica = start("--track", "canary").wait_ready()
    ready = replica.ready
    assert ready["pid"] == replica.process.pid
    assert (ready["model"], ready["version"], ready["track"]) == ("tiny", "1", "canary")
    assert before < ready["started_ns"] < time.time_ns()
    assert ready["warm_up_ms"] > 0
    with replica.client() as client:
        assert client.infer("tiny", {"x": X}).track == "canary"
    assert replica.stop() == 0


def test_logs_are_one_json_object_a_line(start: Start) -> None:
    replica = start().wait_ready()
    replica.stop()
    lines = [json.loads(line) for line in replica.log.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["ready", "draining", "stopped"]
    assert all(line["pid"] == replica.process.pid and line["version"] == "1" for line in lines)


def refusal(replica: RunningReplica) -> errors.WorkbenchError:
    """Wait for a replica that cannot start and return the error it wrote."""
    assert replica.process.wait(LIMIT_S) == 1
    assert not replica.ready_file.exists()
    error = errors.from_json(json.loads(replica.error_file.read_bytes()))
    assert error.what in replica.log.read_text()
    return error


def test_a_taken_port(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        error = refusal(start("--port", str(port)))
    assert isinstance(error, errors.PortInUse)
    assert error.what == f"port {port} is taken"
    assert error.fields["port"] == port


@pytest.mark.parametrize(
    ("name", "data", "kind", "text"),
    [
        ("signature.json", None, errors.CorruptArtifact, "the signature cannot be read"),
        ("signature.json", b'{"_type":', errors.CorruptArtifact, "the signature cannot be read"),
        ("backend.json", b"[]", errors.CorruptArtifact, "the backend's name cannot be read"),
        ("examples.safetensors", b"\xff" * 64, errors.CorruptArtifact, "the examples cannot be read"),
        ("model.onnx", b"not a model", ServeError, "the model cannot be loaded"),
        ("model.onnx", None, ServeError, "the model cannot be loaded"),
    ],
)
def test_a_damaged_bundle(
    start: Start, tmp_path: Path, name: str, data: bytes | None, kind: type[Exception], text: str
) -> None:
    bundle = write_bundle(tmp_path / "damaged")
    (bundle / name).unlink()
    if data is not None:
        (bundle / name).write_bytes(data)
    error = refusal(start(at=bundle))
    assert isinstance(error, kind)
    assert text in error.what


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        (("--loader", "json:absent"), errors.MissingInput, "the loader 'json:absent' cannot be imported"),
        (("--loader", "nothing"), errors.MissingInput, "the loader 'nothing' cannot be imported"),
        (("--bundle", "/nonexistent"), errors.MissingInput, "no such bundle"),
        (("--model", "a/b"), errors.InputError, "'a/b' cannot be a model"),
        (("--version", "1\r\nx: y"), errors.InputError, "cannot be a version"),
        (("--workers", "0"), errors.InputError, "must be 1 or more"),
        (("--host", "256.0.0.1"), ServeError, "cannot serve on '256.0.0.1'"),
    ],
)
def test_options_that_cannot_work(
    start: Start, options: tuple[str, ...], kind: type[Exception], text: str
) -> None:
    error = refusal(start(*options))
    assert isinstance(error, kind)
    assert text in error.what


def test_a_stale_ready_file_is_removed_before_anything_slow(start: Start, tmp_path: Path) -> None:
    stale = tmp_path / "ready.json"
    stale.write_text("{}")
    replica = start("--ready-file", str(stale), "--bundle", "/nonexistent")
    assert replica.process.wait(LIMIT_S) == 1
    assert not stale.exists()
    assert (tmp_path / "ready.json.error").exists()


def test_serves_ipv6(start: Start) -> None:
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("no IPv6 here")
    replica = start("--host", "::1").wait_ready()
    with InferenceClient(f"http://[::1]:{replica.port}", timeout_s=LIMIT_S) as client:
        assert client.live()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_what_is_in_flight_and_waiting(start: Start, number: signal.Signals) -> None:
    replica = start(loader="load_moody").wait_ready()
    replies: list[Reply] = []

    def send() -> None:
        with replica.client() as client:
            replies.append(client.infer("tiny", seconds(0.4)))

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    with replica.client() as client:
        wait_in_flight(client, 3)
        os.kill(replica.process.pid, number)
        for thread in threads:
            thread.join(LIMIT_S)
    assert replica.process.wait(LIMIT_S) == 0
    assert len(replies) == 3
    assert all(reply.closing for reply in replies)


def wait_in_flight(client: InferenceClient, count: int) -> None:
    """Wait until the replica has that many requests in hand."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        text = client.metrics()
        line = next(line for line in text.splitlines() if line.startswith("mlops_requests_in_flight{"))
        if int(line.split()[-1]) >= count:
            return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_keep_alive_clients_that_never_stop_asking_lose_nothing(start: Start) -> None:
    replica = start().wait_ready()
    answered, failed = [0] * 4, []

    def work(at: int) -> None:
        client = replica.client()
        while True:
            try:
                reply = client.infer("tiny", {"x": X})
            except ServeError as error:
                failed.append(error)
                return
            answered[at] += 1
            if reply.closing:
                return

    threads = [threading.Thread(target=work, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    while min(answered) < 20:
        time.sleep(0.01)
    replica.process.terminate()
    for thread in threads:
        thread.join(LIMIT_S)
    assert failed == []
    assert replica.process.wait(LIMIT_S) == 0


def test_an_inference_that_never_ends_does_not_keep_the_process(start: Start) -> None:
    replica = start("--grace-s", "1", loader="load_moody").wait_ready()
    lost: list[ServeError] = []

    def send() -> None:
        with replica.client() as client, pytest.raises(ServeError) as caught:
            client.infer("tiny", seconds(3600))
        lost.append(caught.value)

    thread = threading.Thread(target=send)
    thread.start()
    with replica.client() as client:
        wait_in_flight(client, 1)
    assert replica.stop() == 1
    thread.join(LIMIT_S)
    assert len(lost) == 1
    assert '"event": "gave up"' in replica.log.read_text()


def test_the_route_can_drain_a_replica_and_take_it_back(start: Start, tmp_path: Path) -> None:
    state = tmp_path / "state"
    replica = start("--state-file", str(state)).wait_ready()
    with replica.client() as client:
        assert (client.ready(), client.infer("tiny", {"x": X}).closing) == (True, False)
        state.write_text("draining\n")
        assert (client.ready(), client.ready("tiny"), client.live()) == (False, False, True)
        assert client.infer("tiny", {"x": X}).closing
        state.write_text("serving\n")
        assert (client.ready(), client.infer("tiny", {"x": X}).closing) == (True, False)
        state.write_text("draining\n")
        assert client.infer("tiny", {"x": X}).closing
        state.unlink()
        assert not client.infer("tiny", {"x": X}).closing


def test_the_client_survives_a_restart_on_the_same_port(start: Start) -> None:
    first = start().wait_ready()
    with first.client() as client:
        client.infer("tiny", {"x": X})
        first.stop()
        with pytest.raises(ServeError, match="no answer"):
            client.infer("tiny", {"x": X})
        assert not client.live()
        start("--port", str(first.port)).wait_ready()
        client.infer("tiny", {"x": X})


def test_the_client_sorts_refusals_from_failures(replica: RunningReplica) -> None:
    with replica.client() as client:
        with pytest.raises(BadRequest, match="dtype is float64, expected float32") as refused:
            client.infer("tiny", {"x": X.astype(np.float64)})
        with pytest.raises(ServeError, match="bad mood") as failed:
            client.infer("tiny", {"x": X - 2000})
        assert (refused.value.fields["status"], failed.value.fields["status"]) == (400, 500)
        assert not isinstance(failed.value, BadRequest)
        assert client.infer("tiny", {"x": X}, version="1", outputs=("total",)).outputs.keys() == {"total"}
        assert client.metadata("tiny")["versions"] == ["1"]


def test_the_client_wants_an_http_address() -> None:
    with pytest.raises(errors.InputError, match="not an address to ask"):
        InferenceClient("127.0.0.1:8000")
