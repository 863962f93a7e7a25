"""Runs: list them, read their logs, end them, go on with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..pipeline import views
from ..pipeline.executors.executor import Executor
from ..pipeline.launch import Text, outcome
from ..pipeline.result import Result
from ..pipeline.run import Run
from ..store import Store

if TYPE_CHECKING:
    from ..pipeline.driving import Listener


def runs(limit: int = 20, *, store: Store | None = None) -> Result:
    """List the newest runs.

    Parameters
    ----------
    limit
        How many.
    store
        Where they are; the one beside the notebook unless given.

    Returns
    -------
    Result
        A table, and the detail `states`: each run's id and state, newest first.

    Examples
    --------
    >>> import workbench as wb
    >>> history = wb.runs(5)
    >>> running = [run for run, state in history.states.items() if state == "running"]
    >>> history.to_pandas().columns[0]
    'run'
    """
    store = store or Store()
    rows = store.runs.list(limit)
    states = {row.id: row.state for row in rows}
    return Result(f"{len(rows)} runs", (views.runs_table(rows),), details={"states": states}, store=store)


def logs(run_id: str, *, store: Store | None = None) -> Result:
    """Show what a run's steps wrote.

    Raises
    ------
    UnknownRun
        If no run has this id.
    """
    text = Run(store or Store(), run_id).logs()
    return Result(f"log of {run_id}", pictures=(Text(text or "nothing was written"),), details={"log": text})


def cancel(run_id: str, *, store: Store | None = None) -> Result:
    """End a run and its step.

    A run whose driver needs longer than two seconds to end its steps, such as one on a cluster, ends by itself;
    ``details["state"]`` is ``running`` until then.

    Raises
    ------
    UnknownRun
        If no run has this id.
    RunError
        If it has ended already.
    """
    store = store or Store()
    Executor(store).cancel(run_id)
    row = store.runs.get(run_id)
    state = row.state if row.state == "cancelled" else f"{row.state}, and ends its steps"
    return Result(f"run {run_id} is {state}", (views.runs_table([row]),), details={"state": row.state})


def resume(
    run_id: str,
    *,
    store: Store | None = None,
    background: bool = False,
    on_event: Listener | None = None,
) -> Result | Run:
    """Go on with a run that was interrupted, cancelled or failed; finished steps are not redone.

    Raises
    ------
    UnknownRun
        If no run has this id.
    RunError
        If it is still running.
    WorkbenchError
        Whatever the steps that are left raise.
    """
    run = Executor(store or Store()).resume(run_id, background=background, on_event=on_event)
    return run if background else outcome(run)
