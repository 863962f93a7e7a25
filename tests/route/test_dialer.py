"""Requests split by the kernel on a machine that has no port left, as one has a minute after thousands of clients."""

from __future__ import annotations

import contextlib
import socket
from collections import Counter

import pytest

from tests.route.behind_kernel import begin, track
from tests.route.conftest import Lines, Rig
from tests.route.kept_connections import ask
from tests.route.own_network import in_own_network, only_ports
from workbench.route.kernel.request_route import RequestRoute
from workbench.route.policy import Budget
from workbench.route.state import promote, start_canary

pytestmark = pytest.mark.bpf


def test_clients_are_connected_when_no_port_is_free(rig: Rig, route: RequestRoute, lines: Lines) -> None:
    def body() -> None:
        url = begin(route, rig, track(rig, 1))
        canary = track(rig, 2)
        route.update(lambda now: start_canary(now, canary, 5_000, Budget(breaches=64)))
        only_ports(40_000, 40_031)
        with contextlib.ExitStack() as taken:
            for number in range(3):
                _take_all_ports(taken)
                line = lines.http(url)
                line.source_address = ("127.0.0.1", 30_000 + number)
                assert set(Counter(ask(line) for _ in range(8))) == {"1", "2"}
            after = route.update(promote)
            assert ask(line) == "2"
            assert after.draining is not None
            assert route.drained(after.draining.endpoints, 30)

    in_own_network(body)


def _take_all_ports(taken: contextlib.ExitStack) -> None:
    with contextlib.suppress(OSError):  # the last was the last
        while True:
            taken.enter_context(socket.socket()).bind(("127.0.0.1", 0))
