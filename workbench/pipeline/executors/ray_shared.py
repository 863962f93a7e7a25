"""``python -m workbench.pipeline.executors.ray_shared ADDRESS SOCKET``: one connection to a Ray cluster for many runs.

It prints how many processors the cluster has, then serves each host that connects
(:mod:`workbench.pipeline.executors.ray_relay`) as a host program of its own would. When whoever started it closes
its standard input, or ends, it takes no more and lives until the last run's steps have ended, so that they outlive a
killed sweep as they would with connections of their own.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import sys
import threading
from pathlib import Path

from ...errors import WorkbenchError
from ...store import Store
from ..workers.answers import Answers
from . import ray


def main(address: str, path: str) -> None:
    """Connect, then serve until nobody wants more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt of the notebook is the driver's to answer
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    ray.connect(address)
    answers = Answers()
    answers.say({"processors": ray.processors()})
    threading.Thread(target=_end, args=(listener,), daemon=True).start()
    hosts = []
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # closed
            break
        hosts.append(threading.Thread(target=_serve, args=(connection,)))
        hosts[-1].start()
    for host in hosts:
        host.join()
    shutil.rmtree(Path(path).parent, ignore_errors=True)  # whoever made the folder may be gone


def _end(listener: socket.socket) -> None:
    sys.stdin.read()
    listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts


def _serve(connection: socket.socket) -> None:
    """Be the host program of one run."""
    with connection, connection.makefile("r") as lines, connection.makefile("w") as out:
        answers = Answers(out)
        try:
            first = json.loads(lines.readline())
            store = Store(Path(first["home"]))
            ray.Bridge(store, first["preload"], first["paths"], lines, answers).serve()
        except WorkbenchError as error:
            answers.say({"fatal": error.to_json()})


if __name__ == "__main__":
    main(*sys.argv[1:])
