"""How the end of a step is written down, whoever ran it: its own process, the caller's, or the cache."""

from __future__ import annotations

import traceback

from .. import codec
from ..errors import RunCancelled, StepFailed, WorkbenchError
from ..store import Store
from .recipe import Step, blobs_of, input_texts
from .result import StepResult


def begin(store: Store, run_id: str, position: int, step: Step, owner: str) -> None:
    """Record that a process starts a step on pinned inputs."""
    store.runs.start_step(run_id, position, owner)
    for digest in (*(text for _, text in input_texts(step)), *blobs_of(step)):
        store.runs.refer(run_id, position, "input", digest)
    store.events.append(run_id, position, "step.started", {"verb": step.verb, "name": step.name})


def done(
    store: Store,
    run_id: str,
    position: int,
    step: Step,
    result: StepResult,
    *,
    key: str = "",
    cached: bool = False,
) -> None:
    """Record a result: name the output, keep its figures, remember it under the cache key if any."""
    form = codec.to_json(result)
    store.runs.refer(run_id, position, "output", result.output)
    if step.name:
        store.names.set(step.name, result.output)
    if not cached:
        for figure in result.measured:
            store.measurements.set(result.output, figure.key, figure.value, figure.unit, figure.baseline)
        if key:
            store.results.set(key, form)
    store.runs.finish_step(run_id, position, "done", result=form, cached=cached)
    payload = {"verb": step.verb, "name": step.name, "digest": result.output, "cached": cached}
    store.events.append(run_id, position, "step.done", payload)


def failed(store: Store, run_id: str, position: int, error: BaseException, where: str = "") -> WorkbenchError:
    """Record how a step failed and return the error to raise."""
    known = error if isinstance(error, WorkbenchError) else unforeseen(error, where)
    store.runs.finish_step(run_id, position, "failed", error=known.to_json())
    store.events.append(run_id, position, "step.failed", known.to_json())
    return known


def cancelled(store: Store, run_id: str, position: int) -> RunCancelled:
    """Record that a step was cancelled and return the error to raise."""
    error = RunCancelled(f"run {run_id} was cancelled", where=run_id, fix=f"%mlops resume {run_id}")
    store.runs.finish_step(run_id, position, "cancelled", error=error.to_json())
    store.events.append(run_id, position, "step.cancelled", {})
    return error


def unforeseen(error: BaseException, where: str) -> StepFailed:
    """Return what an exception that no class of ours foresees becomes, with its traceback."""
    text = "".join(traceback.format_exception(error))
    return StepFailed(
        f"{type(error).__name__}: {error}",
        where=where,
        fix="the traceback is in the error's fields",
        traceback=text,
    )
