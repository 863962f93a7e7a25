"""``python -m workbench.pipeline.auto.worker``: one backend in a process of its own, told what to do line by line.

A backend that crashes, hangs or leaks takes no other with it, and each is timed as it will be served: without the
others' thread pools. Orders and answers are lines of JSON; what libraries print goes to the error stream.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ... import codec
from ...errors import StepFailed, WorkbenchError
from ...session import Session

_MOST_CALLS = 2000


class Worker:
    """What a worker keeps between orders: the loaded sessions by folder."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._sessions: dict[str, Session] = {}

    def _session(self, folder: str) -> Session:
        """Return a compiled folder loaded; again, where a worker before this one died."""
        from ...compile import load

        if folder not in self._sessions:
            self._sessions[folder] = load(Path(folder), self._threads)
        return self._sessions[folder]

    def compile(self, source: str, out: str, config: Mapping[str, Any]) -> dict[str, Any]:
        """Compile a folder and load what came out."""
        from ...compile import compile_program

        report = compile_program(Path(source), Path(out), codec.from_json(config))
        self._session(out)
        return {"report": codec.to_json(report)}

    def time(self, folder: str, feeds: str, least_s: float) -> dict[str, Any]:
        """Return seconds of one call, the median over at least three calls and `least_s` seconds."""
        run, given = self._session(folder).runner.run, _read(feeds)
        taken: list[float] = []
        until = time.perf_counter() + least_s
        while len(taken) < 3 or (time.perf_counter() < until and len(taken) < _MOST_CALLS):
            start = time.perf_counter()
            run(given)
            taken.append(time.perf_counter() - start)
        return {"seconds": sorted(taken)[len(taken) // 2]}

    def score(
        self, folder: str, home: str, function: Mapping[str, Any] | None, pairs: list[str]
    ) -> dict[str, Any]:
        """Return the user's measure of a session, or without one how alike its outputs are to those in `pairs`."""
        session = self._session(folder)
        if function is None:
            from .likeness import likeness

            files = zip(pairs[::2], pairs[1::2], strict=True)
            return {
                "score": likeness(session, [(_read(feeds), _read(expected)) for feeds, expected in files])
            }
        from ...store import Store
        from ..callables import receive
        from ..evaluation import score

        return {"score": score(receive(Store(Path(home)), codec.from_json(function)), session)}


def _read(path: str) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return dict(load_file(path))


def main() -> None:
    """Answer orders until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    begin = json.loads(sys.stdin.readline())
    sys.path.extend(entry for entry in begin["search_path"] if entry not in sys.path)
    worker = Worker(begin["threads"])
    for line in sys.stdin:
        order = json.loads(line)
        answer = _answer(partial(getattr(worker, order.pop("do")), **order))
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _answer(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return work()
    except WorkbenchError as error:
        return {"error": error.to_json()}
    except Exception as error:  # noqa: BLE001 - a backend may raise anything, and the next order may do
        return {"error": StepFailed(f"{type(error).__name__}: {error}").to_json()}


if __name__ == "__main__":
    main()
    os._exit(0)  # taking libraries apart one by one would keep people waiting
