"""Deployments: push, promote, roll back, stop, look once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..pipeline import tracking, views
from ..pipeline.alias import point_alias
from ..pipeline.launch import launch
from ..pipeline.naming import name_of
from ..pipeline.recipe import Recipe
from ..pipeline.result import Result
from ..pipeline.run import Run
from ..store import Store
from ..store.run_rows import ENDED
from . import packaging

if TYPE_CHECKING:
    from ..pipeline.driving import Listener
    from ..route.policy import Budget
    from ..staging import DeploymentStatus


def push(
    artifact: str,
    *,
    to: str = "staging",
    canary: float | Sequence[float] | None = None,
    every: float = 30.0,
    shadow: float | None = None,
    slo: str = "",
    route: str = "auto",
    split: str = "auto",
    replicas: int = 1,
    port: int = 0,
    threads: int = 1,
    name: str = "",
    max_batch: int = 1,
    grpc: bool = False,
    memory_bytes: int = 0,
    cpus: float = 0.0,
    pids: int = 0,
    egress: str = "",
    shared_memory: str = "",
    local: bool = False,
    traces: str = "",
    sign: str = "",
    registry: str = "",
    store: Store | None = None,
    background: bool = False,
    on_event: Listener | None = None,
    dry_run: bool = False,
    executor: str = "local",
) -> Result | Run:
    """Package an artifact and stage it, or send it to a registry.

    Parameters
    ----------
    artifact
        A compiled artifact; a program or variant means what was compiled from it last; a package is taken as
        it is. An alias that MLflow has (``minilm@champion``, with a tracking URI set) means the version it is on there.
    to
        The environment.
    canary
        Share of the traffic between 0 and 1; without it the version takes over from the stable one. Several
        rising shares are a rollout that goes on by itself; a last one of 1 promotes.
    every
        Seconds at each share of a rollout.
    shadow
        Instead of a canary: share of the requests that the new version gets copies of, answering nobody; its
        outputs are compared with the stable ones. Needs ``route="proxy"``.
    slo
        What the canary may spend before it loses its traffic: ``service_p<5ms, rss<+64MiB, hang<50ms`` or the
        path of a TOML file. What it leaves out is learnt from the stable version or has a default.
    route
        ``kernel``, ``proxy``, or ``auto`` for the kernel where the machine allows it. Only the first push chooses.
    split
        ``request`` sends each request of a kept-alive connection where its share says (the proxy does), ``connection``
        keeps a connection where it is (the kernel does), ``auto`` takes what the route does.
    replicas, port, threads
        Processes that serve it; port of the route, 0 for a free one; threads of one inference.
    name
        Of the deployment and of the model in requests; by default the artifact's base name.
    max_batch
        Rows that waiting requests may share a run in; 1 for no batches.
    grpc
        Whether each replica also answers gRPC, on a port of its own.
    memory_bytes, cpus, pids
        Limits of each replica, kept by the kernel; 0 for none.
    egress
        Networks that a replica may connect to, as ``10.0.0.0/8,::1``, or ``none``; empty for no policy.
    shared_memory
        Let clients of this machine register shared memory objects whose key starts so (the protocol's
        ``system_shared_memory``, once a replica); empty for none.
    local
        Let each replica also answer clients of this machine on a socket file, where tensors cross in shared
        memory; ``status(name).deployments[0]`` names the files.
    traces
        File to which replicas append requests as OpenTelemetry spans (OTLP's JSON, one a line): those that their
        caller sampled, and those refused or failed.
    sign
        File of the secret key that signs the package.
    registry
        Send the package there, as ``http://host:port[/repository[:tag]]``, and stage nothing.

    Returns
    -------
    Result or Run
        ``.url`` is the address in front of all replicas.

    Raises
    ------
    UnknownArtifact
        If the artifact is not there, or was never compiled; the error has the line to type.
    UntrustedPackage
        If the store trusts keys and none of them signed the package.
    RegistryError
        If the registry refuses or stays away; running it again goes on.
    DeploymentBusy
        If another operation holds the deployment.
    ReplicaFailed
        If a replica does not become ready; what was served before goes on.
    """
    from ..pipeline.steps.push import PushStep
    from ..staging.serving import Serving

    store = store or Store()
    label = name_of(store, artifact)
    package, steps = packaging.package_of(store, tracking.resolve(store, artifact), sign)
    if registry:
        steps.append(packaging.publish_step(package, registry, label))
        return launch(
            store,
            Recipe(tuple(steps)),
            title=f"push {artifact} to {registry}",
            background=background,
            dry_run=dry_run,
            on_event=on_event,
            executor=executor,
        )
    stage = PushStep(
        package=package,
        deployment=name or label.base,
        env=to,
        canary=tuple(canary) if isinstance(canary, Sequence) else canary,
        every_s=every,
        shadow=shadow,
        slo=_policy(slo),
        route=route,
        split=split,
        replicas=replicas,
        port=port,
        threads=threads,
        serving=Serving(
            max_batch, grpc, memory_bytes, cpus, pids, egress, shared_memory, local, _absolute(traces)
        ),
    )
    return launch(
        store,
        Recipe((*steps, stage)),
        title=f"push {artifact} to {to}",
        background=background,
        dry_run=dry_run,
        on_event=on_event,
        executor=executor,
    )


def _absolute(path: str) -> str:
    """Return a file's path as a replica finds it, whatever folder that runs in."""
    return str(Path(path).expanduser().absolute()) if path else ""


def _policy(slo: str) -> Budget | None:
    """Read a policy here, where the person is who wrote it and whose files it names."""
    from ..route.slo import parse

    return parse(slo) if slo else None


def promote(name: str, *, store: Store | None = None) -> Result:
    """Make the canary the stable version.

    Raises
    ------
    UnknownDeployment, StagingError, DeploymentBusy
        As :func:`workbench.staging.promote`.
    """
    from .. import staging

    return _change(store or Store(), name, staging.promote)


def rollback(name: str, *, store: Store | None = None) -> Result:
    """Take the canary out; without one, go back to the stable version before this one.

    Raises
    ------
    UnknownDeployment, StagingError, DeploymentBusy
        As :func:`workbench.staging.rollback`.
    """
    from .. import staging

    return _change(store or Store(), name, staging.rollback)


def pause(name: str, *, off: bool = False, store: Store | None = None) -> Result:
    """Hold a rollout at its present share, or with `off` let it go on.

    Raises
    ------
    UnknownDeployment, StagingError
        As :func:`workbench.staging.pause`.
    """
    from .. import staging

    store = store or Store()
    staging.pause(store, name, paused=not off)
    return status(name, store=store)


def freeze(name: str, replica: str, *, off: bool = False, store: Store | None = None) -> Result:
    """Take a replica's requests away and stop it where it stands, or with `off` let it go on.

    Parameters
    ----------
    name
        The deployment.
    replica
        Its id, as ``status`` shows it.

    Raises
    ------
    UnknownDeployment, StagingError, ServeError, DeploymentBusy
        As :func:`workbench.staging.freeze`.
    """
    from .. import staging

    store = store or Store()
    (staging.thaw if off else staging.freeze)(store, name, replica)
    return status(name, store=store)


def unstage(name: str, *, store: Store | None = None) -> Result:
    """Stop a deployment's replicas and its route.

    Raises
    ------
    UnknownDeployment, DeploymentBusy
        As :func:`workbench.staging.unstage`.
    """
    from .. import staging

    store = store or Store()
    env = next((row.env for row in store.deployments.list() if row.name == name), "staging")
    staging.unstage(store, name)
    store.names.remove(f"{name}@{env}")
    return Result(f"{name} is no longer deployed")


def status(name: str = "", *, store: Store | None = None) -> Result:
    """Show the deployments, or one of them, and the runs that have not ended.

    Raises
    ------
    UnknownDeployment
        If nothing of this name is deployed.
    """
    from .. import staging

    store = store or Store()
    found = staging.status(store, name or None)
    unended = [row for row in store.runs.list(100) if row.state not in ENDED] if not name else []
    tables = [one.table() for one in found] + ([views.runs_table(unended)] if unended else [])
    details: dict[str, Any] = {"deployments": found}
    if len(found) == 1:
        details |= {"url": found[0].url, "phase": found[0].phase}
    stopped = sum(row.state == "interrupted" for row in unended)  # no process works on these any more
    title = f"{len(found)} deployment(s), {len(unended) - stopped} run(s) under way"
    title += f", {stopped} interrupted (%mlops resume RUN goes on)" if stopped else ""
    return Result(name or title, tuple(tables), details=details, store=store)


def _change(store: Store, name: str, operation: Callable[[Store, str], DeploymentStatus]) -> Result:
    after = operation(store, name)
    point_alias(store, after)
    details = {"url": after.url, "phase": after.phase}
    return Result(f"{after.name}@{after.env}", (after.table(),), details=details, store=store)
