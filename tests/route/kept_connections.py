"""What tests of a split by request share: connections that are kept, and who answers on them."""

from __future__ import annotations

import http.client
import socket

from tests.route.behind_kernel import begin, track
from tests.route.conftest import Rig
from workbench.route.kernel.request_route import RequestRoute
from workbench.route.policy import Budget
from workbench.route.state import start_canary


def ask(line: http.client.HTTPConnection, path: str = "/", body: bytes | None = None) -> str:
    line.request("POST" if body else "GET", path, body)
    return answered_by(line, body)


def answered_by(line: http.client.HTTPConnection, body: bytes | None = None) -> str:
    answer = line.getresponse()
    data = answer.read()
    assert answer.status == 200
    if body:
        assert data == body
    return str(answer.headers["x-mlops-version"])


def all_of(line: socket.socket) -> bytes:
    """Return what comes until the other side closes."""
    parts = []
    while data := line.recv(1 << 16):
        parts.append(data)
    return b"".join(parts)


def answers(line: socket.socket, count: int) -> list[str]:
    """Return the versions of so many answers with a body of a known length."""
    data, found = b"", []
    while len(found) < count:
        head, mark, rest = data.partition(b"\r\n\r\n")
        fields = dict(one.split(b": ", 1) for one in head.split(b"\r\n")[1:]) if mark else {}
        length = int(next((v for k, v in fields.items() if k.lower() == b"content-length"), b"0"))
        if mark and len(rest) >= length:
            if b" 100 " not in head.partition(b"\r\n")[0]:
                found.append(fields[b"x-mlops-version"].decode())
            data = rest[length:]
            continue
        piece = line.recv(1 << 16)
        assert piece, f"it ended after {found}: {data!r}"
        data += piece
    assert data == b""
    return found


def half(rig: Rig, route: RequestRoute) -> str:
    """Start a stable track and a canary with half of the requests; return the URL."""
    url = begin(route, rig, track(rig, 1))
    canary = track(rig, 2)
    route.update(lambda now: start_canary(now, canary, 5_000, Budget(breaches=64)))
    return url
