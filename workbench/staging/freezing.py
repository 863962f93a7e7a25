"""Stop a replica where it stands, and let it go on: to look at its memory, or to have its processors for a while.

Requests go to the other replicas meanwhile, so one that is the last of its version is not frozen.
"""

from __future__ import annotations

from dataclasses import replace

from ..errors import StagingError
from ..store import Store, owner
from . import processes
from .deployment import Deployment, OnEvent, find
from .record import ReplicaRecord, VersionRecord
from .status import DeploymentStatus, status_of


def freeze(store: Store, name: str, replica: str, *, on_event: OnEvent | None = None) -> DeploymentStatus:
    """Take a replica's requests away, let it finish those it has, and stop it where it stands.

    Parameters
    ----------
    store, name
        The deployment.
    replica
        Its id, as ``status`` shows it: ``2-1``.

    Raises
    ------
    UnknownDeployment
        If there is no such deployment.
    StagingError
        If it has no such replica that serves, or no other of the version would.
    ServeError
        If the kernel does not let us use control groups.
    DeploymentBusy
        If another operation holds it.
    """
    deployment = find(store, name, on_event=on_event)
    with deployment.operation("freeze"):
        version, one = _chosen(deployment, replica)
        if one.state != "ready" or not processes.alive(one.owner):
            raise StagingError(f"replica {replica} does not serve: it is {one.state}", where=deployment.where)
        if sum(other.state == "ready" for other in version.replicas) < 2:
            raise StagingError(
                f"replica {replica} is the last that serves version {version.version}",
                where=deployment.where,
                fix="push with --replicas 2",
            )
        frozen = replace(one, state="frozen")
        deployment.records.update(lambda record: record.with_replica(frozen, was=one))
        try:
            deployment.follow_replicas(version.version)
            deployment.drain((one.endpoint(),))
            deployment.control_group(one.id).freeze(True, pid=owner.pid_of(one.owner))
        except BaseException:
            deployment.thaw(one)
            _put_back(deployment, version, frozen)
            raise
        deployment.note("replica.frozen", f"{one.id} (pid {owner.pid_of(one.owner)}) stands still")
        return status_of(deployment)


def thaw(store: Store, name: str, replica: str, *, on_event: OnEvent | None = None) -> DeploymentStatus:
    """Let a frozen replica go on and give it requests again.

    Raises
    ------
    UnknownDeployment
        If there is no such deployment.
    StagingError
        If it has no such replica, or that one is not frozen.
    DeploymentBusy
        If another operation holds it.
    """
    deployment = find(store, name, on_event=on_event)
    with deployment.operation("thaw"):
        version, one = _chosen(deployment, replica)
        if one.state != "frozen":
            raise StagingError(f"replica {replica} is not frozen: it is {one.state}", where=deployment.where)
        deployment.control_group(one.id).freeze(False)
        _put_back(deployment, version, one)
        deployment.note("replica.thawed", f"{one.id} goes on")
        return status_of(deployment)


def _chosen(deployment: Deployment, replica: str) -> tuple[VersionRecord, ReplicaRecord]:
    record = deployment.records.read()
    for version in record.versions:
        for one in version.replicas:
            if one.id == replica:
                return version, one
    known = ", ".join(r.id for v in record.versions for r in v.replicas)
    raise StagingError(f"no replica {replica!r}", where=deployment.where, fix=f"one of: {known}")


def _put_back(deployment: Deployment, version: VersionRecord, one: ReplicaRecord) -> None:
    deployment.records.update(lambda record: record.with_replica(replace(one, state="ready"), was=one))
    deployment.follow_replicas(version.version)
