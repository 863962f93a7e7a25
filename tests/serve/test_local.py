"""The local transport: the same answers, and nothing a client does reaches further than its own memory."""

from __future__ import annotations

import mmap
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serve.conftest import LIMIT_S, ROOT, RunningReplica
from workbench.errors import BadRequest, ServeError
from workbench.serve.local_client import LocalClient
from workbench.serve.local_wire import Answer, Request, hear_hello

Start = Callable[..., RunningReplica]
X = np.array([[-1, 2, 3, 4], [-5, 6, 7, 8.5]], np.float32)


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[RunningReplica]:
    folder = tmp_path_factory.mktemp("local")
    options = ("--local-socket", str(folder / "socket"), "--max-body-mib", "1")
    running = RunningReplica(folder, bundle, *options, loader="load_moody")
    try:
        yield running.wait_ready()
    finally:
        running.end()


def path_of(replica: RunningReplica) -> Path:
    return Path(replica.ready["local_socket"])


def test_the_same_answers_as_over_http(replica: RunningReplica) -> None:
    with LocalClient(path_of(replica), timeout_s=LIMIT_S) as local, replica.client() as http:
        for rows in (1, 2, 7, 500):
            x = np.random.default_rng(rows).normal(size=(rows, 4)).astype(np.float32)
            x[0, 0] = -1
            answer = local.infer({"x": x}, request_id="r-1")
            expected = http.infer("tiny", {"x": x})
            assert (answer.model, answer.version, answer.id) == ("tiny", "1", "r-1")
            for name, array in expected.outputs.items():
                np.testing.assert_array_equal(answer.outputs[name], array)
        assert list(local.infer({"x": X}, outputs=("total",)).outputs) == ["total"]


def test_refusals_come_as_errors_and_the_connection_goes_on(replica: RunningReplica) -> None:
    with LocalClient(path_of(replica), timeout_s=LIMIT_S) as client:
        with pytest.raises(BadRequest, match="dtype is float64"):
            client.infer({"x": X.astype(np.float64)})
        with pytest.raises(BadRequest, match="a request of") as caught:
            client.infer({"x": np.zeros((1 << 17, 4), np.float32)})
        assert caught.value.fields["status"] == 413
        with pytest.raises(ServeError, match="bad mood"):
            client.infer({"x": X - 2000})
        assert client.infer({"x": X}).outputs["total"].shape == (2,)


def test_it_takes_the_same_queue(start: Start, tmp_path: Path) -> None:
    where = str(tmp_path / "s")
    replica = start("--local-socket", where, "--queue", "0", loader="load_moody").wait_ready()
    slow = np.array([[1.0, 0, 0, 0]], np.float32)
    done: list[int] = []

    def ask() -> None:
        with LocalClient(Path(where), timeout_s=LIMIT_S) as client:
            client.infer({"x": slow})
            done.append(1)

    thread = threading.Thread(target=ask)
    thread.start()
    with LocalClient(Path(where), timeout_s=LIMIT_S) as client, replica.client() as http:
        while '_in_flight{model="tiny",version="1",track="stable"} 1' not in http.metrics():
            pass
        with pytest.raises(ServeError, match="waiting already") as caught:
            client.infer({"x": X})
        assert caught.value.fields["status"] == 503
    thread.join(LIMIT_S)
    assert done == [1]


def test_a_stop_answers_what_is_in_flight_and_removes_the_socket(start: Start, tmp_path: Path) -> None:
    where = tmp_path / "s"
    replica = start("--local-socket", str(where), loader="load_moody").wait_ready()
    seen: list[bool] = []

    def ask() -> None:
        with LocalClient(where, timeout_s=LIMIT_S) as client:
            client.infer({"x": np.array([[0.5, 0, 0, 0]], np.float32)})
            seen.append(client.closing)

    thread = threading.Thread(target=ask)
    thread.start()
    with replica.client() as http:
        while '_in_flight{model="tiny",version="1",track="stable"} 1' not in http.metrics():
            pass
    assert replica.stop() == 0
    thread.join(LIMIT_S)
    assert seen == [True]
    assert not where.exists()
    with pytest.raises(ServeError, match="is the replica up"):
        LocalClient(where)


def test_a_dead_socket_is_replaced_and_a_living_one_is_not(start: Start, tmp_path: Path) -> None:
    where = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(where))
    start("--local-socket", str(where)).wait_ready()
    second = start("--local-socket", str(where))
    assert second.process.wait(LIMIT_S) == 1
    assert "another replica answers there" in second.error_file.read_text()


def raw(replica: RunningReplica) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(LIMIT_S)
    connection.connect(str(path_of(replica)))
    return connection


@given(
    size=st.integers(0, 2**64 - 1), header_size=st.integers(-(2**63), 2**63 - 1), junk=st.binary(max_size=64)
)
@settings(deadline=None, max_examples=150)
def test_any_request_word_is_answered(
    replica: RunningReplica, size: int, header_size: int, junk: bytes
) -> None:
    with raw(replica) as connection:
        memory = hear_hello(connection)
        memory.request[: len(junk)] = junk
        connection.sendall(Request(size, header_size).pack())
        answer = Answer.receive(connection)
        memory.close()
    assert answer is not None
    assert answer.status in (400, 413)


def test_a_client_cannot_shrink_the_memory(replica: RunningReplica) -> None:
    with raw(replica) as connection:
        memory = hear_hello(connection)
        with pytest.raises(PermissionError):
            os.ftruncate(memory.handle, mmap.PAGESIZE)
        memory.close()


def test_clients_that_vanish_half_way_leave_nothing(replica: RunningReplica) -> None:
    def descriptors() -> int:
        return len(os.listdir(f"/proc/{replica.process.pid}/fd"))

    with LocalClient(path_of(replica), timeout_s=LIMIT_S) as client:
        client.infer({"x": X})
        before = descriptors()
        for data in (b"", b"\x01", Request(10, -1).pack()[:-1], Request(1 << 20, -1).pack()):
            for _ in range(5):
                with raw(replica) as connection:
                    connection.sendall(data)
        client.infer({"x": X})
        until = time.monotonic() + LIMIT_S
        while descriptors() > before and time.monotonic() < until:
            client.infer({"x": X})
            time.sleep(0.01)
        assert descriptors() <= before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_another_user_is_not_let_in(replica: RunningReplica) -> None:
    path = path_of(replica)
    path.chmod(0o777)  # even if somebody opens it up, the peer's uid is what counts
    code = (
        "import os, socket, sys; s = socket.socket(socket.AF_UNIX); os.setuid(65534)\n"
        "try:\n    s.connect(sys.argv[1]); print(len(s.recv(64)))\n"
        "except OSError as error: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() in ("0", "refused")
