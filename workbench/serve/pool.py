"""A few threads in front of the model, and a queue that says no instead of growing.

Inference runs here, off the event loop, so that health and metrics answer while the model computes. A full
queue answers 503 at once: a client that is told to come back is better off than one that waits in the dark.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..errors import ServeError

T = TypeVar("T")
RETRY_AFTER_S = 1


class Pool:
    """Run calls on `workers` threads, with at most `queue` more waiting.

    Parameters
    ----------
    workers
        Inferences at once. Backends release the interpreter lock while they compute.
    queue
        Calls that may wait; one more is refused.
    """

    def __init__(self, workers: int, queue: int) -> None:
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="infer")
        self._limit = workers + queue
        self._admitted = 0

    async def run(self, call: Callable[[], T]) -> T:
        """Return what `call` returns.

        Raises
        ------
        ServeError
            With ``fields["status"] == 503`` when the queue is full.
        """
        if self._admitted >= self._limit:
            raise ServeError(
                f"{self._admitted} requests are waiting already",
                fix=f"try again in {RETRY_AFTER_S} s, or serve more replicas",
                status=503,
                retry_after_s=RETRY_AFTER_S,
            )
        self._admitted += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        finally:
            self._admitted -= 1
