"""A rollout that goes on by itself: each weight for a while, then the next, at 100 % the promotion.

The plan is part of the deployment's record and the supervisor carries it out, so it survives everybody. What ends
it early is what ends a canary: the sentinel, a person's roll-back, the supervisor's. Its clock counts from boot:
setting the machine's time changes nothing.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace

from ..errors import DeploymentBusy, StagingError
from ..route.policy import WHOLE
from ..route.state import RouteState, set_weight
from ..store import Store
from .deployment import DRAIN, Deployment, OnEvent, find
from .record import Record, Rollout

LEAST_REQUESTS = 20
"""Requests the canary must have answered at a weight before it gets more."""

_S = 10**9


def plan(version: int, weights: tuple[int, ...], every_s: float) -> Rollout | None:
    """Return the plan for the weights after the first; ``None`` when there are none.

    Parameters
    ----------
    weights
        In ten-thousandths, rising.
    every_s
        Seconds at each weight.
    """
    if len(weights) < 2:
        return None
    return Rollout(version, weights[1:], every_s, due_ns=_now_ns() + int(every_s * _S))


def advance(deployment: Deployment) -> None:
    """Take the next step if it is due and the canary has shown itself at this one."""
    rollout, state = deployment.records.read().rollout, deployment.route().state()
    if rollout is None:
        return
    if not _goes_on(rollout, state):
        _drop(deployment, rollout)
        return
    if rollout.paused or _now_ns() < rollout.due_ns:
        return
    stats = deployment.route().stats()
    answered = stats.tracks["canary"].requests if stats else 0
    if answered - rollout.answered < LEAST_REQUESTS:
        return
    if rollout.weights[0] >= WHOLE:
        _promote(deployment, rollout)
        return
    weight = rollout.weights[0]
    deployment.route().update(lambda now: set_weight(now, rollout.version, weight))
    rest = replace(
        rollout,
        weights=rollout.weights[1:],
        due_ns=_now_ns() + int(rollout.every_s * _S),
        answered=answered,
    )
    deployment.records.update(lambda record: _exchange(record, rollout, rest))
    deployment.note("rollout", f"version {rollout.version} gets {100 * weight / WHOLE:.4g} % of the requests")


def pause(store: Store, name: str, *, paused: bool = True, on_event: OnEvent | None = None) -> Rollout:
    """Hold a rollout at its weight, or let it go on.

    Raises
    ------
    UnknownDeployment
        If there is no such deployment.
    StagingError
        If no rollout goes on.
    """
    deployment = find(store, name, on_event=on_event)
    deployment.refuse_strangers()

    def change(record: Record) -> tuple[Record, Rollout | None]:
        if record.rollout is None:
            return record, None
        due = _now_ns() + int(record.rollout.every_s * _S)
        changed = replace(record.rollout, paused=paused, due_ns=due)
        return replace(record, rollout=changed), changed

    rollout = deployment.records.update_with(change)
    if rollout is None:
        raise StagingError(
            "no rollout goes on", where=deployment.where, fix="push with --canary 1%,10%,100% --every 30s"
        )
    deployment.note("rollout.paused" if paused else "rollout.resumed", f"version {rollout.version}")
    deployment.ensure_supervisor()
    return rollout


def _goes_on(rollout: Rollout, state: RouteState) -> bool:
    return bool(state.canary and state.canary.version == rollout.version and rollout.weights)


def _drop(deployment: Deployment, rollout: Rollout) -> None:
    """Forget a plan whose canary is gone; not one whose push has yet to give its canary the first share."""
    with contextlib.suppress(DeploymentBusy), deployment.operation(DRAIN):
        if not _goes_on(rollout, deployment.route().state()):
            deployment.records.update(lambda record: _exchange(record, rollout, None))


def _promote(deployment: Deployment, rollout: Rollout) -> None:
    from .rollout import promote

    try:
        promote(deployment.store, deployment.name)
    except DeploymentBusy:
        return  # at the next tick
    except StagingError:  # the sentinel was faster
        pass
    deployment.records.update(lambda record: _exchange(record, rollout, None))


def _exchange(record: Record, was: Rollout, now: Rollout | None) -> Record:
    return replace(record, rollout=now) if record.rollout == was else record


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
