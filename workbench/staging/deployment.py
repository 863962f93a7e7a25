"""One deployment: where its things lie, its record, its route, and what every operation on it shares.

::

    <store>/staging/<env>/<name>/
        record.lock            orders changes of the record (which is in the store's database)
        route/                 state, ready file and log of the route
        supervisor.log
        versions/<n>/bundle/   the unpacked package
        versions/<n>/<id>.*    each replica's ready file, error and log
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import DeploymentBusy, InputError, NoPrivilege, ServeError, UnknownDeployment
from ..route.base import Route
from ..route.kernel.request_route import RequestRoute
from ..route.kernel.route import KernelRoute
from ..route.state import Endpoint, settle, with_endpoints
from ..route.statefile import file_lock
from ..route.user_space import UserSpaceRoute
from ..serve.control_group import ControlGroup
from ..store import Store
from . import processes
from .record import KEPT_EVENTS, Record, Records, ReplicaRecord, StagingEvent
from .serving import socket_folder

OnEvent = Callable[[StagingEvent], None]

STOP_GRACE_S = 30.0
"""How long a replica or the route may finish what it is answering."""

ROUTE_TIMEOUT_S = 30.0

DRAIN = "drain"
"""The supervisor's own operation; others wait for it instead of being refused."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Deployment:
    """A handle on one deployment, existing or not.

    Parameters
    ----------
    on_event
        Told about each event as it happens.

    Raises
    ------
    InputError
        If the name cannot be a name of a folder and a model.
    """

    def __init__(
        self, store: Store, name: str, env: str = "staging", *, on_event: OnEvent | None = None
    ) -> None:
        for what, text in (("name", name), ("environment", env)):
            if not _NAME.fullmatch(text):
                raise InputError(
                    f"{text!r} cannot be a deployment's {what}", where=what, fix="letters, digits, . _ and -"
                )
        self.store, self.name, self.env = store, name, env
        self.folder = store.home / "staging" / env / name
        self.records = Records(store, name, env, self.folder / "record.lock")
        self._on_event = on_event

    @property
    def where(self) -> str:
        """Return its name for messages."""
        return f"{self.name}@{self.env}"

    def route(self, port: int | None = None) -> Route:
        """Return its route; without a `port`, the one its record asks for."""
        record, folder = self.records.read(), self.folder / "route"
        port = record.port if port is None else port
        if record.route == "kernel":
            return KernelRoute(folder, processes.start_detached, port=port)
        if record.route == "sockmap":
            return RequestRoute(folder, processes.start_detached, port=port)
        return UserSpaceRoute(folder, port=port)

    def version_folder(self, version: int) -> Path:
        """Return where a version's bundle, ready files and logs lie."""
        return self.folder / "versions" / str(version)

    def local_socket(self, id: str) -> Path:
        """Return a replica's socket file; it exists only where one was asked for."""
        return socket_folder() / f"{hashlib.sha256(self._unique(id).encode()).hexdigest()[:16]}.sock"

    def control_group(self, id: str) -> ControlGroup:
        """Return a replica's control group; it exists only where limits were asked for."""
        return ControlGroup(f"mlops/{self._unique(id)}")

    def _unique(self, id: str) -> str:
        """Return a name that no replica of another store on this machine has."""
        store = hashlib.sha256(str(self.store.home).encode()).hexdigest()[:8]
        return f"{store}-{self.env}-{self.name}-{id}"

    def thaw(self, replica: ReplicaRecord) -> None:
        """Let a frozen replica go on: a frozen process hears no signal."""
        group = self.control_group(replica.id)
        if group.folders():
            with contextlib.suppress(ServeError):  # a group with limits alone has never been frozen
                group.freeze(False)

    @contextlib.contextmanager
    def operation(self, kind: str) -> Iterator[None]:
        """Hold the right to change it; what a killed operation left behind is cleared away first.

        Raises
        ------
        DeploymentBusy
            If another living process is changing it; the error names its pid.
        NoPrivilege
            If it is another user's.
        """
        self.refuse_strangers()
        until = time.monotonic() + 2 * STOP_GRACE_S
        with contextlib.ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(self.store.deployments.operation(self.name, self.env, kind))
                    break
                except DeploymentBusy as error:  # nobody asked for a drain, so it must not refuse anybody
                    if error.fields.get("operation") != DRAIN or time.monotonic() > until:
                        raise
                    time.sleep(0.05)
            self.folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(UnknownDeployment):
                self.clear_leftovers()
            yield

    def refuse_strangers(self) -> None:
        """Let nobody but its owner change it, root neither: what is pinned and what runs is the owner's.

        Raises
        ------
        NoPrivilege
            If it is another user's.
        """
        with contextlib.suppress(FileNotFoundError):
            uid = self.folder.stat().st_uid
            if uid != os.geteuid():
                raise NoPrivilege(f"the deployment is user {uid}'s", where=self.where, fix="ask that user")

    def clear_leftovers(self) -> None:
        """Stop every version that gets no traffic and never will: drained ones and half-pushed ones."""
        record, state = self.records.read(), self.route().state()
        if state.phase == "rolled-back" and state.draining:
            last = state.rollbacks[-1]
            if last.by == "sentinel":
                self.note("rolled-back", f"version {last.version} by the sentinel: {last.evidence()}")
        wanted = {track.version for track in (state.stable, state.canary) if track}
        for version in record.versions:
            if version.version not in wanted:
                self.retire(version.version)
        for replica in (r for v in self.records.read().versions for r in v.replicas):
            if replica.state in ("new", "leaving"):
                self.let_go(replica.id)
        if state.draining is not None:
            self.route().update(settle)

    def drain(self, endpoints: Sequence[Endpoint]) -> None:
        """Wait until replicas have answered all they were asked; who has not in time is written down.

        They have no traffic any more. What is left to them is lost when they are ended now.
        """
        route = self.route()
        if not route.drained(endpoints, STOP_GRACE_S):
            left = "; ".join(route.busy(endpoints)) or "nothing, at last"
            self.note("replica.undrained", f"not drained in {STOP_GRACE_S:.0f} s, left to do: {left}")

    def retire(self, number: int) -> None:
        """Drain and stop one version that gets no traffic, and forget it.

        It is forgotten last: should we be killed on the way, the next operation finds it and goes on.
        """
        version = self.records.read().version(number)
        if version is None:
            return
        self.drain(version.track().endpoints)
        for one in version.replicas:
            self.thaw(one)
        processes.stop_all([r.owner for r in version.replicas], grace_s=STOP_GRACE_S)
        last = self.records.update_with(
            lambda record: (record.without_version(number), record.version(number))
        )
        # The supervisor may have replaced a dead replica just before the route let go of the version.
        processes.stop_all([r.owner for r in last.replicas] if last else [], grace_s=STOP_GRACE_S)
        for replica in last.replicas if last else ():
            self.control_group(replica.id).remove()
        shutil.rmtree(self.version_folder(number), ignore_errors=True)

    def let_go(self, id: str) -> None:
        """Drain, stop and forget one replica of a version that stays."""

        def mark(record: Record) -> tuple[Record, ReplicaRecord | None]:
            found = record.replica(id)
            leaving = replace(found, state="leaving") if found else None
            return (record.with_replica(leaving) if leaving else record), leaving

        replica = self.records.update_with(mark)
        if replica is None:
            return
        self.follow_replicas(int(id.partition("-")[0]))
        self.drain((replica.endpoint(),))
        self.thaw(replica)
        processes.stop(replica.owner, grace_s=STOP_GRACE_S)
        self.control_group(id).remove()
        self.records.update(lambda record: record.without_replica(id))

    def follow_replicas(self, number: int) -> None:
        """Tell the route which replicas of a version are ready now."""
        version = self.records.read().version(number)
        if version is not None:
            endpoints = version.track().endpoints
            self.route().update(lambda state: with_endpoints(state, number, endpoints))

    def start_route(self) -> None:
        """Start the route again if it does not run; two callers start it once.

        Raises
        ------
        PortInUse
            If a stranger took its port meanwhile.
        """
        with file_lock(self.folder / "route-start.lock"):
            route = self.route()
            if not route.alive():
                route.start(processes.start_detached)
                route.wait_ready(ROUTE_TIMEOUT_S)

    def ensure_supervisor(self) -> None:
        """Start the supervisor unless it runs.

        It is recorded by whoever starts it: an unstage a moment later must know whom to stop first.
        """
        with file_lock(self.folder / "supervisor-start.lock"):
            if not processes.alive(self.records.read().supervisor):
                command = [sys.executable, "-m", "workbench.staging.supervisor"]
                command += ["--home", str(self.store.home), "--name", self.name, "--env", self.env]
                started = processes.start_detached(command, self.folder / "supervisor.log")
                self.records.update(lambda record: replace(record, supervisor=started))

    def stop_route(self) -> None:
        """Close the service's address."""
        self.route().stop(lambda who: processes.stop(who, grace_s=STOP_GRACE_S))

    def note(self, kind: str, text: str) -> None:
        """Write down an event, in the record and in the store's log."""
        event = StagingEvent(kind, text, time.time_ns())
        self.records.update(lambda record: replace(record, events=(*record.events, event)[-KEPT_EVENTS:]))
        self.store.events.append(f"deployment:{self.where}", -1, kind, {"text": text})
        if self._on_event:
            self._on_event(event)


def remove(deployment: Deployment) -> None:
    """Forget a deployment that has no processes any more."""
    deployment.store.deployments.remove(deployment.name, deployment.env)
    shutil.rmtree(deployment.folder, ignore_errors=True)


def find(store: Store, name: str, *, on_event: OnEvent | None = None) -> Deployment:
    """Return a deployment that exists, whatever its environment.

    Raises
    ------
    UnknownDeployment
        If there is none of this name.
    """
    for row in store.deployments.list():
        if row.name == name:
            return Deployment(store, row.name, row.env, on_event=on_event)
    deployment = Deployment(store, name, on_event=on_event)
    deployment.records.read()  # raises, naming those there are
    return deployment
