"""Decide about what was pushed: promote, roll back, restart, unstage. Only the last loses requests."""

from __future__ import annotations

import time
from dataclasses import replace

from ..errors import StagingError
from ..route.state import no_canary
from ..route.state import promote as promote_track
from ..route.state import roll_back as roll_back_track
from ..store import Store
from . import processes, replica
from .deployment import STOP_GRACE_S, OnEvent, find, remove
from .push import swap_back
from .status import DeploymentStatus, status_of


def promote(store: Store, name: str, *, on_event: OnEvent | None = None) -> DeploymentStatus:
    """Make the canary the stable version; the stable one before it is drained and stopped.

    Raises
    ------
    UnknownDeployment
        If there is no such deployment.
    StagingError
        If it has no canary; says so when the canary was already rolled back.
    DeploymentBusy
        If another operation holds it.
    """
    deployment = find(store, name, on_event=on_event)
    with deployment.operation("promote"):
        before = deployment.route().state()
        state = deployment.route().update(promote_track)
        old = deployment.records.read().version(before.stable.version) if before.stable else None
        if old is not None:
            deployment.records.update(lambda record: replace(record, previous=old.package))
        deployment.records.update(lambda record: replace(record, rollout=None))
        if state.stable is not None:
            deployment.note("promoted", f"version {state.stable.version} gets all requests")
        deployment.clear_leftovers()
        deployment.ensure_supervisor()
        return status_of(deployment)


def rollback(store: Store, name: str, *, on_event: OnEvent | None = None) -> DeploymentStatus:
    """Take the canary out; without one, go back to the stable version before this one (once).

    Raises
    ------
    UnknownDeployment
        If there is no such deployment.
    StagingError
        If there is neither; says so when the canary was already rolled back.
    DeploymentBusy
        If another operation holds it.
    """
    deployment = find(store, name, on_event=on_event)
    with deployment.operation("rollback"):
        state, record = deployment.route().state(), deployment.records.read()
        if state.canary is not None:
            deployment.route().update(lambda now: roll_back_track(now, decided_ns=time.time_ns()))
            deployment.note("rolled-back", f"version {state.canary.version} was asked to go")
            deployment.clear_leftovers()
        elif record.previous and state.phase != "rolled-back":
            swap_back(deployment, record.previous)
            deployment.records.update(lambda now: replace(now, previous=""))
        elif state.phase == "rolled-back":
            raise no_canary(state)
        else:
            raise StagingError(
                "there is neither a canary nor a version before this one",
                where=f"{name}@{deployment.env}",
                fix=f"%mlops lineage {name}@{deployment.env} shows what is served",
            )
        deployment.ensure_supervisor()
        return status_of(deployment)


def restart(store: Store, name: str, *, on_event: OnEvent | None = None) -> DeploymentStatus:
    """Start every replica anew, one after another, each drained first; those given up on get another chance.

    Raises
    ------
    UnknownDeployment
        If there is no such deployment.
    ReplicaFailed
        If one does not come back; the others keep serving.
    DeploymentBusy
        If another operation holds it.
    """
    deployment = find(store, name, on_event=on_event)
    with deployment.operation("restart"):
        deployment.start_route()
        for version in deployment.records.read().versions:
            for one in version.replicas:
                replica.exchange(deployment, version, one)
        deployment.note("restarted", "every replica was started anew")
        deployment.ensure_supervisor()
        return status_of(deployment)


def unstage(store: Store, name: str, *, on_event: OnEvent | None = None) -> None:
    """End a deployment: the supervisor first, then the address, then the replicas, then its folder.

    Raises
    ------
    UnknownDeployment
        If there is no such deployment.
    DeploymentBusy
        If another operation holds it.
    """
    deployment = find(store, name, on_event=on_event)
    with deployment.operation("unstage"):
        record = deployment.records.read()
        processes.stop(record.supervisor, grace_s=STOP_GRACE_S)  # it would start again what is stopped below
        deployment.stop_route()
        replicas = [one for version in deployment.records.read().versions for one in version.replicas]
        for one in replicas:
            deployment.thaw(one)
        owners = [one.owner for one in replicas]
        processes.stop_all(owners, grace_s=STOP_GRACE_S)
        remove(deployment)
