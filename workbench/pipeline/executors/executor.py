"""An executor: takes work, makes a run of it, and has it driven here or by a detached process.

Executors differ only in the host that runs the steps (:func:`~workbench.pipeline.executors.choose.open_host`);
runs, cancelling and resuming are the same for all.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Mapping
from typing import Any

from ... import codec
from ...errors import InputError, RunError, WorkbenchError
from ...store import Store, owner
from .. import asked, child
from ..driving import Listener, end_steps
from ..recipe import Recipe, blobs_of
from ..run import Run
from ..walk.driver import PipelineDriver, PipelineRun
from ..walk.recipe import task_names
from .choose import kind_of
from .verbs_here import VerbsHere

_OBEY_S = 2.0


class Executor:
    """Runs recipes and pipelines.

    Parameters
    ----------
    store
        Where runs are recorded and artifacts go.
    name
        ``local``, ``ray``, ``ray://HOST:PORT``.

    Raises
    ------
    InputError
        If no executor has this name.
    """

    def __init__(self, store: Store, name: str = "local") -> None:
        kind_of(name)
        self.store, self.name = store, name

    def submit(
        self,
        work: Recipe | PipelineRun,
        *,
        title: str = "",
        background: bool = False,
        on_event: Listener | None = None,
        live: Mapping[int, Any] | None = None,
    ) -> Run:
        """Start a recipe or a pipeline.

        Parameters
        ----------
        work
            What to run.
        title
            What the user typed, for listings.
        background
            Return at once; a detached process drives the run and outlives this one.
        on_event
            Called with each event while this process drives.
        live
            Objects by position, for steps that must run in this process; such a run cannot go to the
            background.

        Raises
        ------
        WorkbenchError
            In the foreground: the error of the step that failed, as its own class.
        RunCancelled, KeyboardInterrupt
            If the run was cancelled, or this process interrupted.
        """
        if live and self.name != "local":
            raise InputError(
                "a live module cannot leave this process",
                where=self.name,
                fix="give a factory (module:function) instead, or leave --executor out",
            )
        if isinstance(work, Recipe) and work.isolation and self.name != "local":
            raise InputError(
                "a sandbox is made on this machine only",
                where=self.name,
                fix="leave --isolate or --executor out",
            )
        run_id = self._created(work, title)
        return self._go(run_id, background, on_event, live)

    def _created(self, work: Recipe | PipelineRun, title: str) -> str:
        steps = work.steps if isinstance(work, Recipe) else ()  # a pipeline finds its steps as it goes on
        run_id = self.store.runs.create(
            codec.dumps(work),
            task_names(work) if isinstance(work, Recipe) else (),
            title=title,
            executor=self.name,
            origin=os.environ.get("JPY_SESSION_NAME", ""),
        )
        for position, step in enumerate(steps):
            for digest in blobs_of(step):  # what the run was given is kept with it, whatever form travels
                self.store.runs.refer(run_id, position, "input", digest)
        asked.note(self.store, run_id)
        return run_id

    def resume(self, run_id: str, *, background: bool = False, on_event: Listener | None = None) -> Run:
        """Go on with a run; steps that are done are kept, and a run that is done stays as it is.

        Raises
        ------
        UnknownRun
            If there is no such run.
        RunError
            If it is still running.
        """
        row = self.store.runs.get(run_id)
        if row.state == "done":
            return Run(self.store, run_id)
        if row.state in ("pending", "running") and owner.alive(row.driver):
            raise RunError(
                f"run {run_id} is running (pid {owner.pid_of(row.driver)})",
                where=run_id,
                fix=f"wait, or %mlops cancel {run_id}",
            )
        if not self.store.runs.drive(run_id, owner.current(), instead_of=row.driver):
            raise RunError(f"run {run_id} has just been taken over", where=run_id, fix="%mlops runs")
        return self._go(run_id, background, on_event, None)

    def cancel(self, run_id: str) -> None:
        """End a run: its driver ends the step; when the driver is gone, the step's group is ended from here.

        Raises
        ------
        UnknownRun
            If there is no such run.
        RunError
            If it has ended already.
        """
        row = self.store.runs.get(run_id)
        if row.state not in ("pending", "running", "interrupted"):
            raise RunError(f"run {run_id} is {row.state} already", where=run_id)
        self.store.runs.ask_cancel(run_id)
        until = time.monotonic() + _OBEY_S
        while owner.alive(row.driver) and time.monotonic() < until:
            if self.store.runs.get(run_id).state == "cancelled":
                return
            time.sleep(0.02)
        if not owner.alive(row.driver):
            end_steps(self.store, run_id)
            self.store.runs.set_state(run_id, "cancelled")
            self.store.events.append(run_id, -1, "run.cancelled", {})

    def _go(
        self, run_id: str, background: bool, on_event: Listener | None, live: Mapping[int, Any] | None
    ) -> Run:
        run = Run(self.store, run_id)
        if live or not background:
            verbs = None if live is None else VerbsHere(self.store, live=live)
            PipelineDriver(self.store, run_id, on_event, verbs=verbs, keyless=live or ()).drive()
            return run
        self._detach(run_id)
        if on_event is not None:
            threading.Thread(target=_follow, args=(run, on_event), daemon=True).start()
        return run

    def _detach(self, run_id: str) -> None:
        with (self.store.home / "logs" / f"{run_id}.log").open("ab") as log:
            process = child.start("workbench.pipeline.driver", str(self.store.home), run_id, out=log)
        # Unless it has begun by now, or has even ended: then it has said so itself.
        self.store.runs.drive(run_id, owner.of(process.pid), instead_of=owner.current())
        threading.Thread(target=process.wait, daemon=True, name=f"reap {run_id}").start()


def _follow(run: Run, on_event: Listener) -> None:
    with contextlib.suppress(WorkbenchError):  # how it ended is in the events and in the store
        run.wait(on_event=on_event)
