"""A few threads in front of the model, and a queue that says no instead of growing.

Inference runs here, off the event loop, so that health and metrics answer while the model computes. A full
queue answers 503 at once: a client that is told to come back is better off than one that waits in the dark.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

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
        self._pending: set[Future[Any]] = set()

    @property
    def pending(self) -> int:
        """Calls that run or wait, those whose client gave up included."""
        return len(self._pending)

    async def run(self, call: Callable[[], T]) -> T:
        """Return what `call` returns.

        Raises
        ------
        ServeError
            With ``fields["status"] == 503`` when the queue is full.
        """
        if self.pending >= self._limit:
            raise ServeError(
                f"{self.pending} requests are being answered or waiting already",
                fix=f"try again in {RETRY_AFTER_S} s, or serve more replicas",
                status=503,
                retry_after_s=RETRY_AFTER_S,
            )
        future = self._threads.submit(call)
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        return await asyncio.wrap_future(future)
