"""What the store learns of a step while it runs: written by whoever runs it, so it survives who asked for it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from ... import codec
from ...errors import StepFailed
from ...store import Store, owner
from ..machine import machine
from .order import GIVEN, STEP, Order, Outcome

_LOOK_S = 0.05


def begin(store: Store, order: Order, who: str) -> bool:
    """Record that a process has begun an order; returns False when another has it, or has done it."""
    with store.together():
        if not store.runs.claim_step(order.run_id, order.position, who):
            return False
        _tell(store, order, "step.started", {})
        return True


def awaited(store: Store, order: Order) -> Outcome:
    """Return what the process left that has the order, once it has ended."""
    while (row := store.runs.step(order.run_id, order.position)).state == "running":
        if not owner.alive(row.owner):
            row = store.runs.step(order.run_id, order.position)  # it may have ended between the two looks
            break
        time.sleep(_LOOK_S)
    if row.state == "done" and row.result is not None:
        return Outcome.of(row.result)
    died = StepFailed(
        "the process that had it died",
        where=f"{order.run_id}, {order.path}",
        fix=f"%mlops resume {order.run_id} goes on with it",
    )
    return Outcome(error=row.error or died.to_json())


def finish(
    store: Store,
    order: Order,
    outcome: Outcome,
    *,
    cached: bool = False,
    where: Mapping[str, Any] | None = None,
) -> None:
    """Record how an order ended, all at once; a result is kept under its key, so that nobody does it again.

    `where` is the machine it ran on, by default this one. The driver has noted the environment.
    """
    with store.together():
        _finish(store, order, outcome, cached, where)


def _finish(
    store: Store, order: Order, outcome: Outcome, cached: bool, where: Mapping[str, Any] | None
) -> None:
    form = outcome.to_json()
    for digest in outcome.artifacts.values():
        store.runs.refer(order.run_id, order.position, "output", digest)
    if outcome.error is None:
        if STEP in order.body:
            _verb(store, order, outcome, cached)
        if not cached:
            for digest in () if GIVEN in order.body else outcome.artifacts.values():
                store.origins.note(digest, order.run_id, order.position, where or machine())
            if order.key:
                store.results.set(order.key, form)
        store.runs.finish_step(order.run_id, order.position, "done", result=form, cached=cached)
        _tell(store, order, "step.done", {"digest": _digest(outcome), "cached": cached})
    else:
        store.runs.finish_step(order.run_id, order.position, "failed", error=outcome.error)
        _tell(store, order, "step.failed", dict(outcome.error))


def _verb(store: Store, order: Order, outcome: Outcome, cached: bool) -> None:
    """Give what a verb made its name, and keep its figures."""
    from ..result import StepResult

    result, name = codec.from_json(outcome.result), _name(order)
    assert isinstance(result, StepResult), "a verb leaves one"
    if name:
        store.names.set(name, result.output)
    for figure in () if cached else result.measured:
        store.measurements.set(result.output, figure.key, figure.value, figure.unit, figure.baseline)


def known(store: Store, key: str) -> Outcome | None:
    """Return the outcome kept under a key, None when there is none or one of its artifacts is gone."""
    form = store.results.get(key) if key else None
    if form is None:
        return None
    outcome = Outcome.of(form)
    return outcome if all(map(store.artifacts.exists, outcome.artifacts.values())) else None


def _digest(outcome: Outcome) -> str:
    return next(iter(outcome.artifacts.values()), "")


def _tell(store: Store, order: Order, kind: str, payload: dict[str, Any]) -> None:
    more = {} if kind == "step.failed" else {"verb": order.path, "name": _name(order)}
    store.events.append(order.run_id, order.position, kind, {**more, **payload})


def _name(order: Order) -> str:
    """Return what a verb's output is to be called, empty for none."""
    return str(json.loads(order.argument(STEP)).get("name", "")) if STEP in order.body else ""
