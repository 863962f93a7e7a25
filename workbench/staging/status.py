"""What a deployment does now, in one value that shows itself as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..render.table import Cell, Table
from ..route.meters import RouteStats
from ..route.policy import WHOLE, TrackName
from ..route.shadow import ShadowStats
from ..route.state import Phase, Rollback, RouteState
from ..store import Store, owner
from . import processes
from .deployment import Deployment
from .record import Record, StagingEvent, VersionRecord

_MIB = 1024 * 1024


@dataclass(frozen=True)
class ReplicaStatus:
    """One replica: its process (pid 0 when it has none), state, restarts, resident memory, address, socket file."""

    id: str
    pid: int
    state: str
    restarts: int
    rss_bytes: int
    url: str
    local_socket: str = ""
    grpc: str = ""


@dataclass(frozen=True)
class TrackStatus:
    """One version in service.

    Parameters
    ----------
    track
        ``stable``, ``canary``, or ``draining`` for one that has lost its traffic.
    weight
        Its share of the requests, 0 to 1.
    requests, errors, p50_ms, p99_ms, waited_ms
        As the route counts them by track since its process started; ``None`` while it does not answer.
    """

    track: str
    version: int
    package: str
    weight: float
    replicas: tuple[ReplicaStatus, ...]
    requests: int | None = None
    errors: int | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    waited_ms: float | None = None


@dataclass(frozen=True)
class DeploymentStatus:
    """One reading of a deployment.

    Parameters
    ----------
    url
        The service's address, in front of all replicas.
    phase
        ``stable``, ``canary``, ``draining`` or ``rolled-back``.
    route
        Which implementation of the route runs.
    route_pid, supervisor_pid
        0 when it does not run.
    events
        The last things that happened, oldest first.
    rollbacks
        The audit list, oldest first.
    shadow
        How the canary's answers compare, if it is a shadow.
    grpc
        The service's address for gRPC (``host:port``), where its replicas answer that and the kernel routes.
    """

    name: str
    env: str
    url: str
    phase: Phase
    route: str
    route_pid: int
    supervisor_pid: int
    tracks: tuple[TrackStatus, ...]
    events: tuple[StagingEvent, ...]
    rollbacks: tuple[Rollback, ...]
    shadow: ShadowStats | None = None
    grpc: str = ""

    def track(self, name: str) -> TrackStatus | None:
        """Return the track of this name."""
        return next((t for t in self.tracks if t.track == name), None)

    def table(self) -> Table:
        """Return it as a table, one row a replica; a track's counts stand once, they are all replicas'."""
        rows: list[Sequence[Cell]] = []
        for track in self.tracks:
            figures: tuple[Cell, ...] = (track.requests, track.errors, track.p50_ms, track.p99_ms)
            for one in track.replicas:
                shown: tuple[Cell, ...] = (one.pid or None, one.state, one.restarts, one.rss_bytes / _MIB)
                rows.append((track.track, track.version, f"{track.weight:.4g}", one.id, *shown, *figures))
                figures = ("",) * len(figures)
        columns = ("track", "version", "weight", "replica", "pid", "state", "restarts", "MiB")
        grpc = f"grpc {self.grpc}  " if self.grpc else ""
        title = f"{self.name}@{self.env}  {self.url}  {grpc}{self.phase}  (route: {self.route})"
        last = str(self.shadow) if self.shadow else self.events[-1].text if self.events else ""
        return Table((*columns, "requests", "errors", "p50 ms", "p99 ms"), rows, title, last)

    def __str__(self) -> str:
        return self.table().text()

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/plain": self.table().text(), "text/html": self.table().html()}


def status(store: Store, name: str | None = None) -> list[DeploymentStatus]:
    """Return the deployments, all or those of one name; a dead route or supervisor is started again.

    Raises
    ------
    UnknownDeployment
        If a name is given and nothing of that name is deployed.
    """
    rows = [row for row in store.deployments.list() if name in (None, row.name)]
    if name is not None and not rows:
        Deployment(store, name).records.read()  # raises, naming those there are
    found = []
    for row in rows:
        deployment = Deployment(store, row.name, row.env)
        if deployment.route().state().stable is not None:  # else its first push is under way
            deployment.start_route()
            deployment.ensure_supervisor()
        found.append(status_of(deployment))
    return found


def status_of(deployment: Deployment) -> DeploymentStatus:
    """Return one deployment's status without changing anything."""
    record, route = deployment.records.read(), deployment.route()
    state, stats = route.state(), route.stats()
    roles = {"stable": state.stable, "canary": state.canary, "draining": state.draining}
    tracks = tuple(
        _track(deployment, role, version, state, stats)
        for role, track in roles.items()
        if track is not None and (version := record.version(track.version)) is not None
    )
    return DeploymentStatus(
        name=record.name,
        env=record.env,
        url=route.url(),
        phase=state.phase,
        route=route.implementation,
        route_pid=stats.pid if stats else 0,
        supervisor_pid=_pid(record),
        tracks=tracks,
        events=record.events,
        rollbacks=state.rollbacks,
        shadow=stats.shadow if stats else None,
        grpc=route.grpc(),
    )


def _track(
    deployment: Deployment, role: str, version: VersionRecord, state: RouteState, stats: RouteStats | None
) -> TrackStatus:
    weight = {"stable": WHOLE - state.weight, "canary": state.weight}.get(role, 0) / WHOLE
    replicas = tuple(
        ReplicaStatus(
            one.id,
            owner.pid_of(one.owner) if processes.alive(one.owner) else 0,
            one.state,
            one.restarts,
            processes.resident_bytes(one.owner),
            f"http://127.0.0.1:{one.port}" if one.port else "",
            str(deployment.local_socket(one.id)) if version.serving.local else "",
            f"127.0.0.1:{one.grpc_port}" if one.grpc_port else "",
        )
        for one in version.replicas
    )
    names: dict[str, TrackName] = {"stable": "stable", "canary": "canary"}
    seen = stats.tracks[names[role]] if stats and role in names else None
    if seen is None:
        return TrackStatus(role, version.version, version.package, weight, replicas)
    figures = (seen.requests, seen.errors, seen.p50_ms, seen.p99_ms, seen.waited_ms)
    return TrackStatus(role, version.version, version.package, weight, replicas, *figures)


def _pid(record: Record) -> int:
    return owner.pid_of(record.supervisor) if processes.alive(record.supervisor) else 0
