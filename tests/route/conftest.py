from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from workbench.route.kernel.pinned import PINS
from workbench.route.kernel.request_route import RequestRoute
from workbench.route.kernel.route import KernelRoute, remove_pins
from workbench.route.state import Endpoint, RouteState, Track, swap
from workbench.route.user_space import UserSpaceRoute
from workbench.store import owner

ROOT = Path(__file__).parents[2]


@dataclass
class Rig:
    """A proxy and the small replicas behind it, all real processes."""

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    by_id: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.route = UserSpaceRoute(self.folder / "route")

    def launch(self, command: list[str], log: Path) -> str:
        with log.open("ab") as file:
            self.processes.append(subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file))
        return owner.of(self.processes[-1].pid)

    def halt(self, who: str) -> None:
        (process,) = [p for p in self.processes if p.pid == owner.pid_of(who)]
        process.terminate()
        process.wait(15)

    def replica(self, version: int, number: int = 0, *options: str) -> Endpoint:
        name = f"{version}-{number}"
        ready = self.folder / f"{name}-{len(self.processes)}.json"
        command = [sys.executable, "-m", "tests.route.small_replica", str(ready), str(version), *options]
        self.launch(command, self.folder / f"{name}.log")
        self.by_id[name] = self.processes[-1]
        until = time.monotonic() + 30
        while not ready.exists():
            assert time.monotonic() < until
            time.sleep(0.01)
        return Endpoint(name, "127.0.0.1", json.loads(ready.read_text())["port"])

    def track(self, version: int, replicas: int = 1) -> Track:
        return Track(version, tuple(self.replica(version, n) for n in range(replicas)))

    def serve(self, track: Track, *extra: str, state: RouteState | None = None) -> str:
        """Start the proxy with this stable track; return its URL."""
        self.route.start(lambda command, log: self.launch([*command, *extra], log))
        self.route.update(lambda now: swap(state or now, track))
        return self.route.wait_ready(30)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    try:
        yield rig
    finally:
        for process in rig.processes:
            process.kill()
        for process in rig.processes:
            process.wait(10)


@pytest.fixture
def kernel(rig: Rig) -> Iterator[KernelRoute]:
    route = KernelRoute(rig.folder / "deployment" / "route", rig.launch)
    yield route
    remove_pins(route.folder)
    assert not (PINS / str(os.geteuid()) / route.key).exists()


@pytest.fixture
def route(rig: Rig) -> Iterator[RequestRoute]:
    route = RequestRoute(rig.folder / "deployment" / "route", rig.launch)
    yield route
    remove_pins(route.folder)


@dataclass
class Lines:
    """Connections that are closed after the test."""

    open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def http(self, url: str, host: str = "127.0.0.1") -> http.client.HTTPConnection:
        line = http.client.HTTPConnection(host, int(url.rpartition(":")[2]), timeout=30)
        return self.open.enter_context(contextlib.closing(line))

    def raw(self, url: str) -> socket.socket:
        line = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=30)
        return self.open.enter_context(line)


@pytest.fixture
def lines() -> Iterator[Lines]:
    lines = Lines()
    with lines.open:
        yield lines
