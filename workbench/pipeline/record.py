"""How a step that was cancelled, or that failed unforeseen, is written down."""

from __future__ import annotations

import traceback

from ..errors import RunCancelled, StepFailed
from ..store import Store


def cancelled(store: Store, run_id: str, position: int) -> RunCancelled:
    """Record that a step was cancelled and return the error to raise."""
    error = cancellation(run_id)
    store.runs.finish_step(run_id, position, "cancelled", error=error.to_json())
    store.events.append(run_id, position, "step.cancelled", {})
    return error


def cancellation(run_id: str) -> RunCancelled:
    """Return the error that says so."""
    return RunCancelled(f"run {run_id} was cancelled", where=run_id, fix=f"%mlops resume {run_id}")


def unforeseen(error: BaseException, where: str) -> StepFailed:
    """Return what an exception that no class of ours foresees becomes, with its traceback."""
    text = "".join(traceback.format_exception(error))
    return StepFailed(
        f"{type(error).__name__}: {error}",
        where=where,
        fix="the traceback is in the error's fields",
        traceback=text,
    )
