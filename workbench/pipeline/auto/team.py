"""Workers of a search: one a backend, started when first asked, ended when they die, hang, or all is done."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from ...errors import StepFailed, from_json


class Team:
    """The workers by backend.

    Parameters
    ----------
    threads
        Threads of their sessions.
    log
        Where their error streams go.
    """

    def __init__(self, threads: int, log: Path) -> None:
        self._threads, self._log = threads, log
        self._workers: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._workers):
            self._end(name)

    def ask(self, backend: str, timeout_s: float, do: str, **order: Any) -> dict[str, Any]:
        """Have a backend's worker do something and return its answer.

        Raises
        ------
        StepFailed
            If it died or took longer; it is ended, and the next order starts another.
        WorkbenchError
            As the worker raised it.
        """
        worker = self._workers.get(backend) or self._start(backend)
        assert worker.stdin is not None, "it is a pipe"
        assert worker.stdout is not None, "it is a pipe"
        try:
            worker.stdin.write(json.dumps({"do": do, **order}).encode() + b"\n")
            line = _line(worker.stdout, timeout_s)
        except (OSError, TimeoutError) as error:
            late = isinstance(error, TimeoutError)
            self._end(backend)
            raise StepFailed(
                f"took longer than {timeout_s:.0f} s" if late else f"its process ended ({worker.returncode})",
                where=f"{backend}, {do}",
            ) from error
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise from_json(answer["error"])
        return answer

    def _start(self, backend: str) -> subprocess.Popen[bytes]:
        begin = {"search_path": sys.path, "threads": self._threads}
        environment = {
            "OMP_NUM_THREADS": str(self._threads),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        with self._log.open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.worker"],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **environment},
            )
        assert worker.stdin is not None, "it is a pipe"
        worker.stdin.write(json.dumps(begin).encode() + b"\n")
        self._workers[backend] = worker
        return worker

    def _end(self, backend: str) -> None:
        worker = self._workers.pop(backend)
        worker.kill()
        worker.wait()
        for stream in (worker.stdin, worker.stdout):
            if stream is not None:
                stream.close()


def _line(stream: Any, timeout_s: float) -> bytes:
    """Return a line, or raise TimeoutError, or OSError at its end."""
    until, parts = time.monotonic() + timeout_s, b""
    while not parts.endswith(b"\n"):
        ready, _, _ = select.select([stream], [], [], max(until - time.monotonic(), 0))
        if not ready:
            raise TimeoutError
        if not (part := os.read(stream.fileno(), 65536)):
            raise OSError("the pipe is closed")
        parts += part
    return parts
