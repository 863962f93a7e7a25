"""What several runs share: a cluster that does not answer is an error of ours, however it fails to."""

import json
import socket
import subprocess
import sys
import tempfile

import pytest

from workbench.errors import RunError
from workbench.pipeline.executors import ray_relay, room


@pytest.mark.parametrize("limit_s", [0.01, 60.0])  # it is ended, or ends by itself: there is no such module
def test_a_cluster_that_does_not_answer_is_named(monkeypatch, limit_s):
    monkeypatch.setattr(room, "_READY_S", limit_s)
    with (
        pytest.raises(RunError, match=r"no Ray cluster answers at 192\.0\.2\.1:6379") as caught,
        room._connection("workbench.pipeline.executors.absent", "192.0.2.1:6379"),
    ):
        pytest.fail("there is no connection")
    assert "RAY_AUTH_TOKEN_PATH" in caught.value.fix


def test_a_relay_passes_lines_on_both_ways_until_both_ends_are_closed(monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/socket")
        listener.listen()
        listener.settimeout(30)
        monkeypatch.setenv(ray_relay.VARIABLE, f"head:6379 {folder}/socket")
        assert ray_relay.shared_at("head:6379") == f"{folder}/socket"
        assert ray_relay.shared_at("another:6379") == ray_relay.shared_at("") == ""
        command = [sys.executable, "-m", ray_relay.__name__, "home", "head:6379", '["p"]', "torch"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as relay:
            connection, _ = listener.accept()
            with connection, connection.makefile("r") as lines, connection.makefile("w") as out:
                first = {"home": "home", "paths": ["p"], "preload": ["torch"]}
                assert json.loads(lines.readline()) == first
                out.write("ready\n" * 9)
                relay.stdin.write("order\n")
                relay.stdin.close()
                assert lines.read() == "order\n"
                out.flush()
                out.close()
                connection.shutdown(socket.SHUT_WR)
            assert relay.stdout.read() == "ready\n" * 9
            assert relay.wait(30) == 0


def test_where_the_connection_is_gone_the_relay_is_a_host_program_of_its_own(monkeypatch):
    monkeypatch.setenv(ray_relay.VARIABLE, "127.0.0.1:9 /nowhere/socket")
    alone = []
    monkeypatch.setattr("workbench.pipeline.executors.ray.main", lambda *told: alone.append(told))
    ray_relay.main("home", "127.0.0.1:9", "[]", "torch")
    assert alone == [("home", "127.0.0.1:9", "[]", "torch")]
