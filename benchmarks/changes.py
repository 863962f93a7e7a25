"""A deployment whose versions change as a user changes them: `push`, `promote` and `rollback`, with a supervisor.

Its replicas are the workbench's own, its clients wait a little after each answer and ask nothing twice, so that a
request that is lost is counted. A cycle is a canary that is promoted, one that is rolled back, and a swap.
"""

from __future__ import annotations

import contextlib
import http.client
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from workbench import staging
from workbench.route.policy import Budget
from workbench.serve.protocol import InferRequest, Message, encode_request
from workbench.store import Store

from .pushes import LOADER, packaged
from .served_models import write_bundle

NAME = "changes"
CLIENTS, PAUSE_S, REST_S = 4, 0.02, 8.0
_SERVED_S = 0.5
_LIMIT_S = 30.0


class Changes:
    """Counts of what such a deployment and its clients did."""

    def __init__(self) -> None:
        self.made = self.answered = self.failed = 0
        self.failures: list[str] = []
        self._ends = threading.Event()
        self._lock = threading.Lock()

    def _cycles(self, store: Store, digest: str) -> None:
        budget = Budget(breaches=64, latency_ms=1e6)  # what is measured is not the sentinel
        while not self._ends.is_set():
            for decide in (staging.promote, staging.rollback, None):
                if self._ends.is_set():
                    return
                staging.push(
                    store, digest, name=NAME, loader=LOADER, canary=0.5 if decide else None, budget=budget
                )
                self._ends.wait(_SERVED_S)
                if decide is not None:
                    decide(store, NAME)
                self.made += 1
            self._ends.wait(REST_S)

    def _ask(self, url: str, message: Message, keeps: bool) -> None:
        address, line = urlsplit(url), None
        headers = message.headers | ({} if keeps else {"connection": "close"})
        while not self._ends.wait(PAUSE_S):
            line = line or http.client.HTTPConnection(address.hostname or "", address.port, timeout=_LIMIT_S)
            try:
                line.request("POST", f"/v2/models/{NAME}/infer", message.body, headers)
                answer = line.getresponse()
                answer.read()
                self._count("" if answer.status == 200 else f"status {answer.status}")
            except (OSError, http.client.HTTPException) as error:
                self._count(repr(error))
                line.close()
                line = None
        if line is not None:
            line.close()

    def _count(self, failure: str) -> None:
        with self._lock:
            self.answered += not failure
            self.failed += bool(failure)
            if failure:
                self.failures = [*self.failures, failure][:5]

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """Change versions under clients until the block ends; raise what ended the changes before that."""
        message = encode_request(InferRequest({"x": np.ones((1, 16), np.float32)}, binary=True))
        with packaged(_bundle) as (store, digest):
            url = staging.push(store, digest, name=NAME, loader=LOADER, route="kernel").url
            ended: list[BaseException] = []

            def cycles() -> None:
                try:
                    with contextlib.closing(Store(store.home)) as own:  # a connection belongs to one thread
                        self._cycles(own, digest)
                except Exception as error:  # noqa: BLE001 - told to whoever waits
                    ended.append(error)
                    print(f"no more changes by push: {error}", file=sys.stderr, flush=True)

            threads = [threading.Thread(target=cycles)]
            threads += [
                threading.Thread(target=self._ask, args=(url, message, at % 2 == 0)) for at in range(CLIENTS)
            ]
            for one in threads:
                one.start()
            try:
                yield
            finally:
                self._ends.set()
                for one in threads:
                    one.join()
                staging.unstage(store, NAME)
        if ended:
            raise ended[0]


def _bundle(folder: Path) -> Path:
    write_bundle("total", folder)
    return folder
