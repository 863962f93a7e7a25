"""The step ``push``: serve a package as the newest version of a deployment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ...codec import register
from ...route.policy import Budget
from ...staging.serving import Serving
from ..alias import point_alias
from ..context import StepContext
from ..recipe import step_body
from ..result import StepResult, table_json


@register("push_step")
@dataclass(frozen=True)
class PushStep:
    """Stage a package. It acts on the world, so it is never answered from the cache.

    Parameters
    ----------
    package
        The package.
    deployment, env
        What to call it and where.
    canary
        Share of the traffic (0 to 1), or rising shares; None to take over from the stable version.
    every_s, shadow, slo
        Seconds at each share; share of copied requests; what the canary may spend.
    route, split
        Which route a first push makes; what it splits.
    replicas, port, threads
        Processes that serve it, port of the route (0 for a free one), threads of one inference.
    serving
        Batches, transports and limits of the replicas.
    name
        Unused: a deployment is no artifact.
    """

    verb: ClassVar[str] = "push"
    inputs: ClassVar[tuple[str, ...]] = ("package",)
    code: ClassVar[tuple[str, ...]] = ()
    stays: ClassVar[str] = "it stages behind the route of this machine"

    package: str
    deployment: str
    env: str = "staging"
    canary: float | tuple[float, ...] | None = None
    every_s: float = 30.0
    shadow: float | None = None
    slo: Budget | None = None
    route: str = "auto"
    split: str = "auto"
    replicas: int = 1
    port: int = 0
    threads: int = 1
    serving: Serving = field(default_factory=Serving)
    name: str = ""


@step_body(PushStep)
def push(step: PushStep, context: StepContext) -> StepResult:
    """Start the replicas and give them their share of the traffic."""
    from ... import staging

    status = staging.push(
        context.store,
        step.package,
        name=step.deployment,
        env=step.env,
        canary=step.canary,
        every_s=step.every_s,
        shadow=step.shadow,
        budget=step.slo,
        route=step.route,
        split=step.split,
        replicas=step.replicas,
        port=step.port,
        threads=step.threads,
        serving=step.serving,
        on_event=lambda event: context.progress(event.text),
    )
    point_alias(context.store, status)
    return StepResult(
        step.package, tables=(table_json(status.table()),), details={"url": status.url, "phase": status.phase}
    )
