"""What changed in the store since a reader last looked, as messages a panel can replay.

::

    {"type": "events", "seq": n, "events": [...], "runs": [...]}    runs: the rows those events are about
    {"type": "reset", "seq": n}                                     too far behind: ask for the lists again
    {"type": "runs", "runs": [...]}                                 runs whose processes died without a word
    {"type": "deployments", "deployments": [...], "operations": [...]}

The store is the only source, so a run of a shell or of another server shows like one of a notebook here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from .deployments import Deployments
from .home import Home
from .runs import Runs

POLL_S = 0.04
"""How often the store is asked for a newer sequence number, while somebody listens."""

STAGING_S = 1.0
BATCH = 1000
MOST_BEHIND = 5000
"""A reader further behind than this starts over instead of replaying."""

Message = dict[str, Any]


class Watch:
    """Looks while somebody listens, and tells every listener.

    Parameters
    ----------
    home, runs, deployments
        What to look at.
    """

    def __init__(self, home: Home, runs: Runs, deployments: Deployments) -> None:
        self.home, self.runs, self.deployments = home, runs, deployments
        self._listeners: set[Callable[[Message], None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._told: dict[str, Message] = {}

    def since(self, seq: int) -> Message:
        """Return the next message for a reader that has seen everything up to `seq`."""
        store = self.home.store()
        last = store.events.last() if store else 0
        if store is None or last == seq:
            return {"type": "events", "seq": seq if store else 0, "events": [], "runs": []}
        if not 0 <= last - seq <= MOST_BEHIND:  # also when the store was replaced by a younger one
            return {"type": "reset", "seq": last}
        events = store.events.since(seq, limit=BATCH)
        touched = {event.run_id for event in events if not event.run_id.startswith("deployment:")}
        return {
            "type": "events",
            "seq": events[-1].seq,
            "events": [asdict(event) for event in events],
            "runs": self.runs.some(touched),
        }

    def last(self) -> int:
        """Return the newest sequence number."""
        store = self.home.store()
        return store.events.last() if store else 0

    def listen(self, tell: Callable[[Message], None]) -> None:
        """Tell a listener from now on; it is told the deployments at once, if they are known."""
        self._listeners.add(tell)
        if "deployments" in self._told:
            tell(self._told["deployments"])
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._look())

    def leave(self, tell: Callable[[Message], None]) -> None:
        """Tell it no more; nobody left, nothing looked at."""
        self._listeners.discard(tell)
        if not self._listeners and self._task is not None:
            self._task.cancel()
            self._task = None
            self._told.clear()

    async def _look(self) -> None:
        seq, due = await asyncio.to_thread(self.last), 0.0
        clock = asyncio.get_running_loop().time
        while True:
            last = await asyncio.to_thread(self.last)
            if last != seq:
                seq = last
                self._tell({"type": "news", "seq": seq})
            if clock() >= due:
                due = clock() + STAGING_S
                await self._slow("deployments", self.deployments.read)
                await self._slow("runs", lambda: {"runs": self.runs.active()})
            await asyncio.sleep(POLL_S)

    async def _slow(self, kind: str, read: Callable[[], Message]) -> None:
        """Read what no event announces, and tell it if it differs from what was told last."""
        with contextlib.suppress(OSError):  # a replica went away while it was looked at: next second again
            message = {"type": kind, **await asyncio.to_thread(read)}
            if message != self._told.get(kind):
                self._told[kind] = message
                self._tell(message)

    def _tell(self, message: Message) -> None:
        for tell in tuple(self._listeners):
            tell(message)
