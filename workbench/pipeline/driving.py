"""What driving a run means, whatever it runs: its state, its events, how it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from ..errors import RunCancelled, WorkbenchError
from ..store import Event, Store, owner
from . import openlineage, record, tracking
from .process import end_group

Listener = Callable[[Event], None]
Results = TypeVar("Results")


class RunDriver(Generic[Results]):
    """Drives one run; a subclass says what it does.

    Parameters
    ----------
    store, run_id
        The run; it must have been created.
    on_event
        Called with every event of the run, in order, while it is driven.
    """

    def __init__(self, store: Store, run_id: str, on_event: Listener | None = None) -> None:
        self.store = store
        self.run_id = run_id
        self._on_event = on_event
        self._seen = store.events.last() if on_event else 0

    def drive(self) -> Results:
        """Run what is left and return what it made.

        Raises
        ------
        RunCancelled
            If somebody cancelled the run.
        KeyboardInterrupt
            If this process was interrupted; the step was ended and recorded as cancelled.
        WorkbenchError
            The error of the step that failed.
        """
        self.store.runs.drive(self.run_id, owner.current())
        state, why = "failed", dict[str, Any]()
        try:
            self._tell("run.started")
            openlineage.begin(self.store, self.run_id)
            results = self._work()
            state = "done"
            return results
        except (RunCancelled, KeyboardInterrupt) as error:
            state = "cancelled"
            end_steps(self.store, self.run_id)
            if isinstance(error, KeyboardInterrupt):
                error.add_note(f"run {self.run_id} is cancelled; %mlops resume {self.run_id} goes on with it")
            raise
        except WorkbenchError as error:
            why = error.to_json()
            raise
        finally:
            with self.store.together():  # whoever sees that it ended finds why
                self.store.runs.set_state(self.run_id, state)
                self._tell(f"run.{state}", why)
            self._forward()
            openlineage.end(self.store, self.run_id)
            tracking.begin(self.store, self.run_id)

    def _work(self) -> Results:
        raise NotImplementedError

    def _tell(self, kind: str, payload: Mapping[str, Any] | None = None, position: int = -1) -> None:
        self.store.events.append(self.run_id, position, kind, payload)

    def _forward(self) -> None:
        """Pass the events that happened meanwhile on to the listener."""
        if self._on_event is None:
            return
        for event in self.store.events.since(self._seen, self.run_id):
            self._seen = event.seq
            self._on_event(event)


def end_steps(store: Store, run_id: str) -> None:
    """End what still runs of a run in processes other than this one, and record it as cancelled."""
    for row in store.runs.get(run_id).steps:
        if row.state == "running" and row.owner != owner.current():
            if owner.alive(row.owner):
                end_group(owner.pid_of(row.owner))
            if store.runs.get(run_id).steps[row.position].state == "running":
                record.cancelled(store, run_id, row.position)
