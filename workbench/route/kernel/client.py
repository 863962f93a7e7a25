"""Ask the router process: one message a connection, descriptors beside it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...bpf.sockets import dial, peer
from ...errors import NoPrivilege, StagingError, from_json
from .clients import MESSAGE_BYTES

_ANSWER_S = 30.0
_MOST_HANDED = 8


class RouterAbsent(StagingError):
    """No router is there, or it ended before it answered."""


def ask(
    path: Path, message: dict[str, Any], descriptors: Sequence[int] = ()
) -> tuple[dict[str, Any], list[int]]:
    """Send one message to the router that listens at `path`; return its answer and what it handed over.

    Raises
    ------
    RouterAbsent
        If no router is there, or it ended before it answered.
    WorkbenchError
        Whatever it refused with.
    """
    try:
        with dial(str(path)) as line:
            line.settimeout(_ANSWER_S)
            _check_peer(line)
            socket.send_fds(line, [json.dumps(message).encode()], descriptors)
            data, handed, _, _ = socket.recv_fds(line, MESSAGE_BYTES, _MOST_HANDED)
    except OSError as error:
        raise RouterAbsent(f"the router does not answer: {error}", where=str(path)) from error
    if not data:
        raise RouterAbsent("the router ended before it answered", where=str(path))
    answer: dict[str, Any] = json.loads(data)
    if "error" in answer:
        raise from_json(answer["error"])
    return answer, list(handed)


def _check_peer(line: socket.socket) -> None:
    _, uid, _ = peer(line)
    if uid not in (0, os.geteuid()):
        raise NoPrivilege(f"the router's socket belongs to user {uid}", where="router")
