"""What the store learns of a step while it runs: written by whoever runs it, so it survives who asked for it."""

from __future__ import annotations

from typing import Any

from ... import codec
from ...store import Store
from .. import provenance
from .order import GIVEN, STEP, Order, Outcome


def begin(store: Store, order: Order, owner: str) -> None:
    """Record that a process has begun an order."""
    store.runs.start_step(order.run_id, order.position, owner)
    store.events.append(order.run_id, order.position, "step.started", {"verb": order.path, "name": ""})


def finish(store: Store, order: Order, outcome: Outcome, *, cached: bool = False) -> None:
    """Record how an order ended; a result is kept under its key, so that nobody does it again."""
    form = outcome.to_json()
    for digest in outcome.artifacts.values():
        store.runs.refer(order.run_id, order.position, "output", digest)
    if outcome.error is None:
        if STEP in order.body:
            _verb(store, order, outcome, cached)
        if not cached:
            for digest in () if GIVEN in order.body else outcome.artifacts.values():
                provenance.note(store, digest, order.run_id, order.position)
            if order.key:
                store.results.set(order.key, form)
        store.runs.finish_step(order.run_id, order.position, "done", result=form, cached=cached)
        _tell(store, order, "step.done", {"digest": _digest(outcome), "cached": cached})
    else:
        store.runs.finish_step(order.run_id, order.position, "failed", error=outcome.error)
        _tell(store, order, "step.failed", dict(outcome.error))


def _verb(store: Store, order: Order, outcome: Outcome, cached: bool) -> None:
    """Give what a verb made its name, and keep its figures."""
    from ..recipe import loads

    result = codec.from_json(outcome.result)
    name = loads(order.argument(STEP)).name
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
    more = {"verb": order.path, "name": ""} if kind == "step.done" else {}
    store.events.append(order.run_id, order.position, kind, {**more, **payload})
