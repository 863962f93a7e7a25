"""Bring a package into service: as the first version, as a canary, or in place of the stable one.

The new version's replicas start, become ready and answer one real inference before they get any traffic; if
one does not, they are stopped and the deployment is as it was before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..errors import InputError, ReplicaFailed, StagingError, UnknownDeployment
from ..route.policy import WHOLE, Budget, weight_of
from ..route.state import start_canary, start_shadow, swap
from ..store import Store
from . import replica
from .choice import check_split, route_for, start_first_route
from .cuda_watch import CudaWatch
from .deployment import ROUTE_TIMEOUT_S, Deployment, OnEvent, remove
from .record import Record, ReplicaRecord, VersionRecord
from .rollout_plan import plan
from .serving import Serving
from .status import DeploymentStatus, status_of

DEFAULT_LOADER = "workbench.compile:load"
MAX_REPLICAS = 64


def push(
    store: Store,
    package_digest: str,
    *,
    name: str,
    env: str = "staging",
    canary: float | Sequence[float] | None = None,
    every_s: float = 30.0,
    shadow: float | None = None,
    budget: Budget | None = None,
    route: str = "auto",
    split: str = "auto",
    replicas: int = 1,
    port: int | None = None,
    threads: int = 1,
    loader: str = DEFAULT_LOADER,
    serving: Serving | None = None,
    on_event: OnEvent | None = None,
) -> DeploymentStatus:
    """Serve a package as the newest version of a deployment, making the deployment when there is none.

    Parameters
    ----------
    package_digest
        A package artifact in the store.
    name
        Of the deployment; also the model's name in requests.
    canary
        Share of the traffic between 0 and 1; without it the new version takes over from the stable one.
        The first version always takes everything: there is nothing to compare it with. Several rising shares
        are a rollout that goes on by itself; a last one of 1 promotes it.
    every_s
        Seconds at each share of a rollout.
    shadow
        Share of the requests that the new version gets copies of, answering nobody, instead of a share of the
        traffic. Needs the user-space proxy: the kernel copies nothing.
    budget
        What the canary may spend; :func:`workbench.route.slo.parse` reads one from a line.
    route
        ``auto``, ``kernel`` or ``proxy``. Only the first push chooses.
    split
        ``connection``, ``request`` (also those of one kept-alive connection), or ``auto``: connections in the
        kernel, requests in the proxy. It must be what the deployment's route does.
    replicas
        Processes that serve it.
    port
        Of the route; ``None`` or 0 lets the system choose. Only the first push chooses.
    threads
        Of one inference.
    loader
        ``module:function`` that loads an unpacked bundle.
    serving
        Batches, transports and limits of the replicas; nothing special by default.
    on_event
        Told what happens while it happens.

    Raises
    ------
    UnknownArtifact, CorruptArtifact, PackageError
        If the package is not there or does not prove itself.
    UntrustedPackage
        If the store trusts keys and none of them signed it; nothing of it is unpacked or started.
    DeploymentBusy
        If another operation holds the deployment.
    PortInUse
        If the port is taken.
    ReplicaFailed
        If a replica does not become ready and answer; nothing has changed then.
    StagingError
        If another version is still a canary.
    """
    weights, budget = _weights(canary, every_s), budget or Budget()
    share = None if shadow is None else weight_of(shadow)
    if share is not None and (weights or route == "kernel"):
        raise InputError(
            "a shadow answers nobody and needs the proxy", where="shadow", fix="--shadow 10% --route proxy"
        )
    route = "proxy" if share is not None and route == "auto" else route
    route = route_for(split, route, cuda=budget.limits_cuda)
    if not 1 <= replicas <= MAX_REPLICAS:
        raise InputError(f"{replicas} replicas asked for", where="replicas", fix=f"1 to {MAX_REPLICAS}")
    store.artifacts.path(package_digest)
    deployment = Deployment(store, name, env, on_event=on_event)
    with deployment.operation("push"):
        _prepare(deployment, port or 0, route, split)
        check_split(deployment, split)
        if budget.limits_cuda and deployment.records.read().route == "proxy":
            raise StagingError(
                "the proxy sees no CUDA calls",
                where=deployment.where,
                fix=f"%mlops unstage {name}, then push with --route kernel",
            )
        if share is not None and deployment.records.read().route != "proxy":
            raise StagingError(
                "the kernel's route cannot copy requests",
                where=deployment.where,
                fix=f"%mlops unstage {name}, then push with --route proxy",
            )
        version = _allot(deployment, package_digest, replicas, threads, loader, serving or Serving())
        first = deployment.route().state().stable is None
        try:
            version = _bring_up(deployment, version)
            deployment.start_route()  # it may have died while the replicas loaded
            deployment.route().wait_ready(ROUTE_TIMEOUT_S)
            if weights and not first:
                with contextlib.closing(CudaWatch()) as watch:
                    watch.look(deployment.route(), budget, version.track().endpoints)
        except BaseException:
            _take_back(deployment, version.version, first=first)
            raise
        if first or (not weights and share is None):
            _take_over(deployment, version)
        elif share is not None:
            _start_shadow(deployment, version, share, budget)
        else:
            _start_canary(deployment, version, weights, every_s, budget)
        if first and weights:
            deployment.note("canary.first", "the first version takes all traffic: there is no stable one yet")
        deployment.ensure_supervisor()
        return status_of(deployment)


def swap_back(deployment: Deployment, package_digest: str) -> None:
    """Serve an earlier package again, in place of the stable version (the operation's lock is held)."""
    now = deployment.records.read()
    like = next(v for v in now.versions if v.version == _stable(deployment))
    version = _allot(deployment, package_digest, len(like.replicas), like.threads, like.loader, like.serving)
    try:
        version = _bring_up(deployment, version)
    except BaseException:
        _take_back(deployment, version.version, first=False)
        raise
    _take_over(deployment, version)


def _weights(canary: float | Sequence[float] | None, every_s: float) -> tuple[int, ...]:
    shares = () if canary is None else (canary,) if isinstance(canary, int | float) else tuple(canary)
    weights = tuple(weight_of(share) for share in shares)
    if list(weights) != sorted(set(weights)):
        raise InputError("the shares of a rollout rise", where="canary", fix="--canary 1%,5%,25%,100%")
    if not 0 < every_s < float("inf"):
        raise InputError(f"{every_s} seconds at each share", where="every", fix="--every 30s")
    return weights


def _stable(deployment: Deployment) -> int:
    track = deployment.route().state().stable
    return track.version if track else 0


def _prepare(deployment: Deployment, port: int, route: str, split: str) -> None:
    """Make the record if this is the first push, and refuse early what would be refused late."""
    try:
        record = deployment.records.read()
    except UnknownDeployment:
        deployment.records.create(Record(deployment.name, deployment.env, port))
        try:
            start_first_route(deployment, route, split)
        except BaseException:
            deployment.stop_route()
            remove(deployment)
            raise
        return
    state = deployment.route().state()
    if state.canary is not None:
        raise StagingError(
            f"version {state.canary.version} is still a canary ({state.weight / WHOLE:.0%} of the traffic)",
            where=deployment.where,
            fix=f"%mlops promote {deployment.name}, or %mlops rollback {deployment.name}",
        )
    has = int(deployment.route().url().rpartition(":")[2] or record.port)
    if port and port != has:
        raise InputError(
            f"the deployment answers on port {has} already, not on {port}",
            where=deployment.where,
            fix=f"push without --port, or %mlops unstage {deployment.name} first",
        )
    deployment.start_route()


def _allot(
    deployment: Deployment, package: str, replicas: int, threads: int, loader: str, serving: Serving
) -> VersionRecord:
    """Give the next version number; recorded before anything starts, so that nothing is ever forgotten."""

    def add(record: Record) -> tuple[Record, VersionRecord]:
        number = record.last_version + 1
        wanted = tuple(ReplicaRecord(f"{number}-{n}") for n in range(replicas))
        version = VersionRecord(number, package, threads, loader, wanted, serving)
        return replace(record.with_version(version), last_version=number), version

    return deployment.records.update_with(add)


def _bring_up(deployment: Deployment, version: VersionRecord) -> VersionRecord:
    """Unpack, start all replicas, wait for all, ask each; return the version's record, ready."""
    from ..package import unpack
    from ..package.keys import TRUST_FOLDER, read_trusted

    number = version.version
    bundle = deployment.version_folder(number) / "bundle"
    deployment.note("version.starting", f"version {number}, {len(version.replicas)} replica(s)")
    trusted = read_trusted(deployment.store.home / TRUST_FOLDER)
    unpack(deployment.store.artifacts.path(version.package), bundle, trusted=trusted)
    for one in version.replicas:
        started = replica.launch(deployment, version, one)
        deployment.records.update(_put(started))
    record = deployment.records.read().version(number)
    if record is None:  # only an unstage that broke the lock could take it away
        raise ReplicaFailed(f"version {number} is gone from the record", where=deployment.where)
    ready = replica.wait_ready(deployment, record.replicas)
    for one in ready:
        replica.probe(deployment, version, one)
        deployment.records.update(_put(one))
    deployment.note("version.ready", f"version {number} answered a real inference")
    return replace(version, replicas=ready)


def _put(one: ReplicaRecord) -> Callable[[Record], Record]:
    return lambda record: record.with_replica(one)


def _start_canary(
    deployment: Deployment,
    version: VersionRecord,
    weights: tuple[int, ...],
    every_s: float,
    budget: Budget,
) -> None:
    """Give the new version its first share, and write down the next ones."""
    rollout = plan(version.version, weights, every_s)
    deployment.records.update(lambda record: replace(record, rollout=rollout))
    deployment.route().update(lambda state: start_canary(state, version.track(), weights[0], budget))
    deployment.note(
        "canary", f"version {version.version} gets {100 * weights[0] / WHOLE:.4g} % of the requests"
    )


def _start_shadow(deployment: Deployment, version: VersionRecord, share: int, budget: Budget) -> None:
    """Give the new version copies of requests."""
    deployment.route().update(lambda now: start_shadow(now, version.track(), share, budget))
    deployment.note(
        "shadow", f"version {version.version} gets copies of {100 * share / WHOLE:.4g} % of the requests"
    )


def _take_over(deployment: Deployment, version: VersionRecord) -> None:
    """Give the new version all traffic."""
    replaced = deployment.records.read().version(_stable(deployment))
    deployment.route().update(lambda state: swap(state, version.track()))
    if replaced is not None:
        deployment.records.update(lambda record: replace(record, previous=replaced.package))
    deployment.note("stable", f"version {version.version} gets all requests")
    deployment.clear_leftovers()


def _take_back(deployment: Deployment, number: int, *, first: bool) -> None:
    """Undo a push that failed: the new version goes; a deployment that never served goes as a whole."""
    deployment.retire(number)
    if first:
        deployment.stop_route()
        remove(deployment)
    else:
        deployment.note("push.failed", f"version {number} did not start; nothing has changed")
