"""What tests of the route in the kernel share: real replicas behind it, and clients that count who answers."""

from __future__ import annotations

import http.client
import socket
import time
from collections import Counter
from dataclasses import replace
from typing import Any

from tests.route.conftest import Rig
from workbench.route.kernel.route import KernelRoute
from workbench.route.state import (
    Endpoint,
    Track,
    swap,
)


def begin(route: KernelRoute, rig: Rig, track: Track) -> str:
    route.start(rig.launch)
    route.update(lambda now: swap(now, track))
    return route.wait_ready(30)


def endpoint(rig: Rig, version: int, number: int = 0, *options: str) -> Endpoint:
    one = rig.replica(version, number, "dual", *options)
    return replace(one, pid=rig.by_id[one.id].pid)


def track(rig: Rig, version: int, replicas: int = 1) -> Track:
    return Track(version, tuple(endpoint(rig, version, n) for n in range(replicas)))


def versions(url: str, count: int, host: str = "127.0.0.1") -> Counter[str]:
    seen: Counter[str] = Counter()
    for _ in range(count):
        line = http.client.HTTPConnection(host, int(url.rpartition(":")[2]), timeout=10)
        line.request("GET", "/")
        answer = line.getresponse()
        answer.read()
        seen[answer.headers["x-mlops-version"]] += 1
        line.close()
    return seen


def eventually(found: Any, timeout_s: float = 30) -> Any:
    until = time.monotonic() + timeout_s
    while not (value := found()):
        assert time.monotonic() < until
        time.sleep(0.01)
    return value


def misbehave(one: Endpoint, url: str, path: str) -> None:
    """Ask for something bad until the canary has had its fill; stable gets none of it."""
    for _ in range(200):
        line = http.client.HTTPConnection("127.0.0.1", int(url.rpartition(":")[2]), timeout=10)
        line.connect()
        line.request("GET", "/")
        answer = line.getresponse()
        answer.read()
        if answer.headers["x-mlops-version"] == "2":
            for _ in range(6):
                line.request("GET", path)
                line.getresponse().read()
            line.close()
            return
        line.close()
    raise AssertionError(f"{one} was never asked")


def in_flight(kernel: KernelRoute) -> list[int]:
    reading = kernel.stats()
    assert reading is not None
    return list(reading.in_flight.values())


def asking(port: int, count: int) -> list[socket.socket]:
    lines = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for line in lines:
        line.sendall(b"GET /slow?0.5 HTTP/1.1\r\nHost: x\r\n\r\n")
    return lines
