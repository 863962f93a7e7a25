"""What is written down about a deployment: its versions, its processes, what happened last.

The record is the deployment's state in the store. Two parties change it: the operation that holds the
deployment's lock (push, promote, …) and the supervisor, which needs no lock because it only replaces
processes that died. Each change is a read, a pure function and a write under a file lock, so neither loses
the other's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

from .. import codec
from ..errors import StagingError
from ..route.state import Endpoint, Track
from ..route.statefile import file_lock
from ..store import Store, owner
from .serving import Serving

T = TypeVar("T")

KEPT_EVENTS = 20

RouteKind = Literal["kernel", "sockmap", "proxy"]
ReplicaState = Literal["new", "ready", "frozen", "restarting", "leaving", "failed"]


@codec.register("staging_replica")
@dataclass(frozen=True)
class ReplicaRecord:
    """One replica.

    Parameters
    ----------
    id
        ``<version>-<number>``.
    state
        `new`: an operation brings it up; `ready`: it serves; `frozen`: it was stopped where it stood and gets no
        requests; `restarting`: it died and the supervisor brings
        it up; `leaving`: an operation takes it away; `failed`: it died too often and is not started again.
    owner
        Its process, as an owner text.
    port
        Where it answers; 0 until it is ready.
    restarts
        How often it was started again.
    grpc_port
        Where it answers gRPC; 0 where it does not.
    """

    id: str
    state: ReplicaState = "new"
    owner: str = ""
    port: int = 0
    restarts: int = 0
    grpc_port: int = 0

    def endpoint(self) -> Endpoint:
        """Return its address as the route knows it."""
        return Endpoint(self.id, "127.0.0.1", self.port, owner.pid_of(self.owner), self.grpc_port)


@codec.register("staging_version")
@dataclass(frozen=True)
class VersionRecord:
    """One version that has processes.

    Parameters
    ----------
    version
        Goes up by one with each push of the deployment.
    package
        Digest of the package it serves.
    threads
        Of one inference.
    loader
        ``module:function`` that loads its bundle.
    serving
        Batches, transports and limits of its replicas.
    """

    version: int
    package: str
    threads: int
    loader: str
    replicas: tuple[ReplicaRecord, ...]
    serving: Serving = field(default_factory=Serving)

    def track(self) -> Track:
        """Return the addresses that are ready."""
        ready = tuple(r for r in self.replicas if r.state == "ready")
        return Track(self.version, tuple(r.endpoint() for r in ready))


@codec.register("staging_event")
@dataclass(frozen=True)
class StagingEvent:
    """One thing that happened: a kind such as ``replica.died``, a sentence, nanoseconds since the epoch."""

    kind: str
    text: str
    time_ns: int


@codec.register("staging_rollout")
@dataclass(frozen=True)
class Rollout:
    """What is left of a rollout that goes on by itself.

    Parameters
    ----------
    version
        The canary's.
    weights
        The next ones, in ten-thousandths; 10,000 is the promotion.
    every_s
        Seconds at each weight.
    due_ns
        When the next step may come, nanoseconds since boot.
    answered
        Requests the canary had answered when the present weight began.
    paused
        Whether a person holds it.
    """

    version: int
    weights: tuple[int, ...]
    every_s: float
    due_ns: int
    answered: int = 0
    paused: bool = False


@codec.register("staging_record")
@dataclass(frozen=True)
class Record:
    """Everything about one deployment.

    Parameters
    ----------
    port
        Asked for the route; 0 when the system chooses.
    last_version
        The highest version number given so far.
    previous
        Package of the stable version before this one, for a way back; empty when there is none.
    supervisor
        The supervisor's process, as an owner text.
    route
        Which route: ``kernel``, ``sockmap`` (the kernel's, split by request) or ``proxy``; chosen by the first push.
    rollout
        What is left of an automatic one.
    """

    name: str
    env: str
    port: int
    last_version: int = 0
    previous: str = ""
    supervisor: str = ""
    versions: tuple[VersionRecord, ...] = ()
    events: tuple[StagingEvent, ...] = ()
    route: RouteKind = "proxy"
    rollout: Rollout | None = None

    def version(self, number: int) -> VersionRecord | None:
        """Return one version's record."""
        return next((v for v in self.versions if v.version == number), None)

    def with_version(self, version: VersionRecord) -> Record:
        """Return it with one version added or replaced."""
        others = tuple(v for v in self.versions if v.version != version.version)
        return replace(self, versions=tuple(sorted((*others, version), key=lambda v: v.version)))

    def with_new_replica(self, version: int) -> tuple[Record, ReplicaRecord]:
        """Return it with one more replica of a version, and that replica."""
        old = next(v for v in self.versions if v.version == version)
        number = 1 + max(int(r.id.partition("-")[2]) for r in old.replicas)
        added = ReplicaRecord(f"{version}-{number}")
        return self.with_version(replace(old, replicas=(*old.replicas, added))), added

    def without_replica(self, id: str) -> Record:
        """Return it without one replica."""
        kept = (replace(v, replicas=tuple(r for r in v.replicas if r.id != id)) for v in self.versions)
        return replace(self, versions=tuple(kept))

    def without_version(self, number: int) -> Record:
        """Return it without one version."""
        return replace(self, versions=tuple(v for v in self.versions if v.version != number))

    def replica(self, id: str) -> ReplicaRecord | None:
        """Return one replica's record."""
        return next((r for v in self.versions for r in v.replicas if r.id == id), None)

    def with_replica(self, new: ReplicaRecord, was: ReplicaRecord | None = None) -> Record:
        """Return it with one replica replaced, if it is still there (and, when given, still as it `was`)."""

        def fits(old: ReplicaRecord) -> bool:
            return old.id == new.id and was in (None, old)

        versions = tuple(
            replace(v, replicas=tuple(new if fits(old) else old for old in v.replicas)) for v in self.versions
        )
        return replace(self, versions=versions)


class Records:
    """The record of one deployment in its store.

    Parameters
    ----------
    lock
        File whose lock orders the changes; its folder exists.
    """

    def __init__(self, store: Store, name: str, env: str, lock: Path) -> None:
        self._store, self._name, self._env, self._lock = store, name, env, lock

    def read(self) -> Record:
        """Return the record.

        Raises
        ------
        UnknownDeployment
            If the deployment does not exist.
        """
        record = codec.from_json(self._store.deployments.get(self._name, self._env).state)
        if not isinstance(record, Record):
            raise StagingError("the store holds no record of it", where=f"{self._name}@{self._env}")
        return record

    def create(self, record: Record) -> None:
        """Write the first record."""
        with file_lock(self._lock):
            self._write(record)

    def update(self, change: Callable[[Record], Record]) -> Record:
        """Apply one change and return what was written."""
        return self.update_with(lambda record: (after := change(record), after))

    def update_with(self, change: Callable[[Record], tuple[Record, T]]) -> T:
        """Apply one change that also gives something back; return that."""
        with file_lock(self._lock):
            before = self.read()
            after, result = change(before)
            if after != before:
                self._write(after)
        return result

    def _write(self, record: Record) -> None:
        self._store.deployments.put(self._name, self._env, codec.to_json(record))
