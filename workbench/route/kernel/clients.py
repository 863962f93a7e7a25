"""Who asks the router: many users at once, one message a connection, and nobody can keep another one waiting."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ...bpf.sockets import peer

MESSAGE_BYTES = 200_000
MOST_DESCRIPTORS = 128

_MOST_CLIENTS, _MOST_OF_A_USER = 128, 32
_SILENT_S = 2.0

Answer = Callable[[int, bytes, list[int]], tuple[bytes, list[int]]]
"""Answers a message of a user that came with descriptors; what is returned with the answer is handed over."""


@dataclass
class _Client:
    uid: int
    since_s: float = field(default_factory=time.monotonic)


def serve(listener: socket.socket, answer: Answer) -> None:
    """Answer every client of a listening socket, until the process is told to end."""
    listener.setblocking(False)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    waiting: dict[socket.socket, _Client] = {}
    while True:
        for key, _ in selector.select(_SILENT_S if waiting else None):
            if key.fileobj is listener:
                with contextlib.suppress(OSError):
                    client, _ = listener.accept()
                    _welcome(client, waiting, selector)
            elif isinstance(key.fileobj, socket.socket):
                one = waiting.pop(key.fileobj)
                selector.unregister(key.fileobj)
                with key.fileobj, contextlib.suppress(OSError):
                    _answer(key.fileobj, one.uid, answer)
        now = time.monotonic()
        for silent in [sock for sock, one in waiting.items() if now - one.since_s > _SILENT_S]:
            del waiting[silent]
            selector.unregister(silent)
            silent.close()


def _welcome(
    client: socket.socket, waiting: dict[socket.socket, _Client], selector: selectors.BaseSelector
) -> None:
    uid = peer(client)[1]
    if len(waiting) >= _MOST_CLIENTS or sum(one.uid == uid for one in waiting.values()) >= _MOST_OF_A_USER:
        client.close()
        return
    client.setblocking(False)
    waiting[client] = _Client(uid)
    selector.register(client, selectors.EVENT_READ)


def _answer(client: socket.socket, uid: int, answer: Answer) -> None:
    data, given, _, _ = socket.recv_fds(client, MESSAGE_BYTES, MOST_DESCRIPTORS)
    handed: list[int] = []
    try:
        if data:  # else it only wanted to know whether somebody is here
            said, handed = answer(uid, data, list(given))
            socket.send_fds(client, [said], handed)
    finally:
        for one in (*given, *handed):
            os.close(one)
