"""A few threads in front of the model, and a queue that says no instead of growing.

Inference runs here, off the event loop, so that health and metrics answer while the model computes. A full
queue answers 503 at once: a client that is told to come back is better off than one that waits in the dark.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from ..errors import ServeError
from .exchange import Exchange, Job

if TYPE_CHECKING:
    from .model import ServedModel

RETRY_AFTER_S = 1


class Pool:
    """Answer exchanges on `workers` threads, with at most `queue` more waiting.

    Parameters
    ----------
    workers
        Inferences at once. Backends release the interpreter lock while they compute.
    queue
        Exchanges that may wait; one more is refused.
    """

    def __init__(self, workers: int, queue: int) -> None:
        self._workers = workers
        self._limit = workers + queue
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._pending: set[Future[Any]] = set()
        self._running = 0
        self._model: ServedModel | None = None
        self.batches: dict[int, int] = {}
        """How many runs there were, by the number of requests they answered."""

    def start(self, model: ServedModel) -> None:
        """Start the threads that ask `model`; they end with the process."""
        self._model = model
        for at in range(self._workers):
            # Not waited for at exit: an inference that never ends cannot be stopped.
            threading.Thread(target=self._work, args=(model,), name=f"infer-{at}", daemon=True).start()

    @property
    def pending(self) -> int:
        """Exchanges that run or wait, those whose client gave up included."""
        return len(self._pending)

    @property
    def waiting(self) -> int:
        """Exchanges that no thread has taken yet."""
        return len(self._waiting)

    async def run(self, exchange: Exchange) -> Any:
        """Return the answer to one exchange.

        Raises
        ------
        ServeError
            With ``fields["status"] == 503`` when the queue is full.
        """
        return await asyncio.wrap_future(self.submit(exchange))

    def submit(self, exchange: Exchange) -> Future[Any]:
        """Put an exchange into the queue, from any thread; the same as :meth:`run` without an event loop."""
        job = Job(exchange)
        with self._changed:
            self._admit(job)
            self._waiting.append(job)
            self._changed.notify()
        return job.future

    def run_here(self, exchange: Exchange) -> Any:
        """Return the answer to one exchange, on the caller's own thread if a worker's place is free.

        Two changes of thread are most of what a small request costs. Nobody is overtaken: it is done so only when
        nothing waits.
        """
        job = Job(exchange)
        with self._changed:
            self._admit(job)
            model = None if self._waiting or self._running >= self._workers else self._model
            if model is None:
                self._waiting.append(job)
                self._changed.notify()
            else:
                self._running += 1
        if model is None:
            return job.future.result()
        try:
            model.decode(job)
            self._count(1)
            return model.answer([job])[0]
        finally:
            self._pending.discard(job.future)
            self._leave()

    def _admit(self, job: Job) -> None:
        if self.pending >= self._limit:
            raise ServeError(
                f"{self.pending} requests are being answered or waiting already",
                fix=f"try again in {RETRY_AFTER_S} s, or serve more replicas",
                status=503,
                retry_after_s=RETRY_AFTER_S,
            )
        self._pending.add(job.future)
        job.future.add_done_callback(self._pending.discard)  # not the job: it would live on in a circle

    def _count(self, requests: int) -> None:
        with self._changed:
            self.batches[requests] = self.batches.get(requests, 0) + 1

    def _leave(self) -> None:
        with self._changed:
            self._running -= 1
            if self._waiting:  # waking a thread for nothing costs more than a small model
                self._changed.notify()

    def _work(self, model: ServedModel) -> None:
        most = model.costs.most_rows if model.costs else 1
        while True:
            taken = self._take(most)
            try:
                jobs = [job for job in taken if self._is_good(job, model)]
                batch = model.together(jobs) if jobs else []
                self._give_back([job for job in jobs if job not in batch])
                self._answer(batch, model)
            finally:
                self._leave()

    def _take(self, most: int) -> list[Job]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting and self._running < self._workers)
            self._running += 1
            return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def _give_back(self, jobs: list[Job]) -> None:
        if jobs:
            with self._changed:
                self._waiting.extendleft(reversed(jobs))
                self._changed.notify()

    def _is_good(self, job: Job, model: ServedModel) -> bool:
        """Decode a job; one that cannot be decoded, or that nobody waits for, is done here."""
        if job.future.cancelled():
            return False
        try:
            model.decode(job)
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked, and the thread lives on
            _fail(job, error)
            return False
        return True

    def _answer(self, batch: list[Job], model: ServedModel) -> None:
        running = [job for job in batch if job.future.set_running_or_notify_cancel()]
        if not running:
            return
        self._count(len(running))
        try:
            answers = model.answer(running)
        except BaseException as error:  # noqa: BLE001 - ditto
            if len(running) == 1:
                running[0].future.set_exception(error)
            else:  # whoever broke it answers for it alone
                for job in running:
                    _answer_alone(job, model)
            return
        for job, answer in zip(running, answers, strict=True):
            job.future.set_result(answer)


def _fail(job: Job, error: BaseException) -> None:
    if job.future.set_running_or_notify_cancel():
        job.future.set_exception(error)


def _answer_alone(job: Job, model: ServedModel) -> None:
    try:
        job.future.set_result(model.answer([job])[0])
    except BaseException as error:  # noqa: BLE001 - ditto
        job.future.set_exception(error)
