"""Where a held process gets to, and where it does not: real sockets, real programs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tests.serve.conftest import LIMIT_S, ROOT, RunningReplica
from workbench.errors import InputError, ServeError
from workbench.serve import egress
from workbench.serve.control_group import ControlGroup

TRY = """
import socket, sys
from workbench.serve.control_group import ControlGroup
ControlGroup(sys.argv[1]).join()
family, kind, host, port = (int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
with socket.socket(family, kind) as one:
    one.settimeout(10)
    try:
        one.connect((host, port)) if kind == socket.SOCK_STREAM else one.sendto(b"x", (host, port))
        print("passed")
    except PermissionError:
        print("refused")
"""


@pytest.fixture
def group() -> Iterator[ControlGroup]:
    one = ControlGroup(f"mlops-egress-{os.getpid()}")
    try:
        one.unified()
    except ServeError as error:
        pytest.skip(str(error))
    yield one
    deadline = time.monotonic() + LIMIT_S
    while one.folders() and time.monotonic() < deadline:
        one.remove()


def attempt(group: ControlGroup, family: int, kind: int, host: str, port: int) -> str:
    line = [sys.executable, "-c", TRY, group.name, str(int(family)), str(int(kind)), host, str(port)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=LIMIT_S, cwd=ROOT, check=True)
    return done.stdout.strip()


def listener(family: int, host: str) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    one.bind((host, 0))
    one.listen()
    return one


@pytest.mark.bpf
def test_only_what_is_listed_is_reached(group: ControlGroup) -> None:
    egress.hold(group.unified(), egress.networks("127.0.0.1"))
    with listener(socket.AF_INET, "127.0.0.1") as near, listener(socket.AF_INET, "127.0.0.2") as far:
        near_port, far_port = near.getsockname()[1], far.getsockname()[1]
        stream, packet = socket.SOCK_STREAM, socket.SOCK_DGRAM
        assert attempt(group, socket.AF_INET, stream, "127.0.0.1", near_port) == "passed"
        assert attempt(group, socket.AF_INET, stream, "127.0.0.2", far_port) == "refused"
        assert attempt(group, socket.AF_INET, packet, "127.0.0.2", far_port) == "refused"
        assert attempt(group, socket.AF_INET, packet, "127.0.0.1", near_port) == "passed"
        assert attempt(group, socket.AF_INET6, stream, "::ffff:127.0.0.2", far_port) == "refused"
        with socket.create_connection(("127.0.0.2", far_port), LIMIT_S):
            pass  # we are not in the group


@pytest.mark.bpf
def test_a_list_is_replaced_and_holds_without_a_process(group: ControlGroup) -> None:
    if not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("no IPv6 here")
    egress.hold(group.unified(), egress.networks("none"))
    with listener(socket.AF_INET6, "::1") as one:
        port = one.getsockname()[1]
        assert attempt(group, socket.AF_INET6, socket.SOCK_STREAM, "::1", port) == "refused"
        egress.hold(group.unified(), egress.networks("::/64, 10.0.0.0/8"))
        assert attempt(group, socket.AF_INET6, socket.SOCK_STREAM, "::1", port) == "passed"


@pytest.mark.bpf
def test_a_replica_that_may_call_nobody_still_answers(
    start: Callable[..., RunningReplica], group: ControlGroup
) -> None:
    replica = start("--control-group", group.name, "--egress", "none").wait_ready()
    with replica.client() as client:
        assert client.infer("tiny", {"x": np.zeros((1, 4), np.float32)}).outputs["total"].shape == (1,)
    with listener(socket.AF_INET, "127.0.0.1") as one:
        where = ("127.0.0.1", one.getsockname()[1])
        assert attempt(group, socket.AF_INET, socket.SOCK_STREAM, *where) == "refused"
    assert replica.stop() == 0


@pytest.mark.parametrize("policy", ["", "localhost", "10.0.0.1/8", "10.0.0.0/33", "none,10.0.0.0/8", "::1,"])
def test_policies_that_are_none(policy: str) -> None:
    with pytest.raises(InputError, match="no network"):
        egress.networks(policy)
