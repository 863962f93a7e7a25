"""The local executor's host for verbs: a fresh process for each, or the caller's own for what cannot leave it.

The walk, its orders and its rows are the same as everywhere. A verb's process is not a fork of a warm one, because
verbs load whole compilers and may run in a sandbox; the next step's is started while one works
(:mod:`workbench.pipeline.spare`).
"""

from __future__ import annotations

import select
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...store import Store
from .. import record, spare
from ..process import StepProcess
from ..step import run
from ..workers.host import Ended
from ..workers.order import Order, Outcome

if TYPE_CHECKING:
    from ...package.environment import EnvironmentLock
    from ...package.isolation import Isolation


class VerbsHere:
    """Runs verbs on this machine, one at a time.

    Parameters
    ----------
    store
        Where they are recorded.
    isolation, environment
        As for :class:`~workbench.pipeline.process.StepProcess`.
    live
        Objects by position, for steps that run in this process (a live module cannot leave it).
    steps
        How many steps the recipe has.
    """

    def __init__(
        self,
        store: Store,
        isolation: Isolation | None = None,
        environment: EnvironmentLock | None = None,
        live: Mapping[int, Any] | None = None,
        steps: int = 1,
    ) -> None:
        self._store, self._isolation, self._environment = store, isolation, environment
        self._live, self._steps = live or {}, steps
        self._running: dict[int, StepProcess] = {}
        self._ended: list[Ended] = []

    def has_room(self, order: Order) -> bool:
        """Return whether nothing runs."""
        return not self._running

    def send(self, ticket: int, order: Order) -> None:
        """Start an order; one with a live object has ended when this returns."""
        if order.position in self._live:
            self._here(ticket, order)
        else:
            self._running[ticket] = StepProcess(self._store, order, self._isolation, self._environment)
            if self._isolation is None:
                spare.follow(more=order.position + 1 < self._steps)

    def cancel(self, ticket: int) -> None:
        """End an order's process and what it started."""
        if ticket in self._running:
            self._running[ticket].end()

    def wait(self, timeout_s: float) -> list[Ended]:
        """Return the orders that ended, after at most this many seconds."""
        ended, self._ended = self._ended, []
        if ended:
            return ended
        if not self._running:
            time.sleep(timeout_s)
            return []
        gone = select.select(list(self._running.values()), [], [], timeout_s)[0]
        return [
            Ended(ticket, self._running.pop(ticket).outcome())
            for ticket, process in list(self._running.items())
            if process in gone
        ]

    def close(self) -> None:
        """Let go of what still runs: it belongs to whoever resumes."""
        for process in self._running.values():
            process.let_go()

    def _here(self, ticket: int, order: Order) -> None:
        spare.prepare()
        try:
            outcome = run(self._store, order, self._live[order.position])
        except KeyboardInterrupt:
            error = record.cancellation(order.run_id)
            self._ended.append(Ended(ticket, Outcome(error=error.to_json())))
            raise
        self._ended.append(Ended(ticket, outcome))
