"""Clients of the proxy for its tests: whole requests, raw bytes, and a wait."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from urllib.parse import urlsplit


def send_raw(url: str, data: bytes, *, wait_s: float = 10.0) -> bytes:
    """Send bytes as they are and return all that comes back until the proxy closes."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=wait_s) as connection:
        connection.sendall(data)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


def get(url: str, path: str = "/", method: str = "GET", body: bytes | None = None, **headers: str):
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read()


def wait_until(condition, timeout_s: float = 20.0) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
