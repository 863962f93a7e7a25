"""``python -m workbench.pipeline.executors.ray_relay HOME ADDRESS PATHS NAME...``: a host program without Ray.

Where several runs share one connection to a cluster (:mod:`workbench.pipeline.executors.ray_shared`), a run's host
program is this: it passes lines on, both ways, and costs an interpreter instead of Ray's start and connection. Where
the connection is gone it is the host program that a run alone would have.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading

VARIABLE = "MLOPS_RAY_SHARED"
"""Names the cluster and the socket, ``HOST:PORT PATH``, to the processes of whoever holds the connection."""


def shared_at(address: str) -> str:
    """Return the socket of the connection that is held to a cluster, empty for none."""
    known, _, path = os.environ.get(VARIABLE, "").partition(" ")
    return path if address and known == address else ""


def main(home: str, address: str, paths: str, *preload: str) -> None:
    """Relay until both ends are closed."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(shared_at(address))
    except OSError:
        connection.close()
        from .ray import main as alone

        alone(home, address, paths, *preload)
        return
    first = {"home": home, "paths": json.loads(paths), "preload": preload}
    connection.sendall(json.dumps(first).encode() + b"\n")
    there = threading.Thread(target=_pass_on, args=(0, connection), daemon=True)
    there.start()
    while chunk := connection.recv(1 << 16):
        while chunk:
            chunk = chunk[os.write(1, chunk) :]


def _pass_on(source: int, connection: socket.socket) -> None:
    """Send what is read, then say that no more comes."""
    while chunk := os.read(source, 1 << 16):
        connection.sendall(chunk)
    connection.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # the thread may still read
