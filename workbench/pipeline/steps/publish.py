"""The step ``publish``: a package and its signatures to a registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...codec import register
from ...render.table import Table
from ..context import StepContext
from ..recipe import step_body
from ..result import StepResult, table_json


@register("publish_step")
@dataclass(frozen=True)
class PublishStep:
    """Push a package to a registry. It acts on the world, so it is never answered from the cache.

    Parameters
    ----------
    package
        The package.
    reference
        Where to, as ``http://host:port/repository:tag``.
    name
        Unused: nothing new is made.
    """

    verb: ClassVar[str] = "publish"
    inputs: ClassVar[tuple[str, ...]] = ("package",)
    code: ClassVar[tuple[str, ...]] = ()

    package: str
    reference: str
    name: str = ""


@step_body(PublishStep)
def publish(step: PublishStep, context: StepContext) -> StepResult:
    """Upload what the registry has not yet."""
    from ...package import Reference, push_layout

    context.stage(f"pushing to {step.reference}")
    sent = [0]

    def progress(count: int) -> None:
        sent[0] += count
        context.progress(f"{sent[0] / 1e6:.1f} MB sent")

    place = push_layout(context.input(step.package), Reference.parse(step.reference), progress=progress)
    row = (f"{place.url}/{place.repository}:{place.tag}", place.digest[:19], sent[0] / 1e6)
    details = {"reference": f"{place.url}/{place.repository}:{place.tag}@{place.digest}", "oci": place.oci}
    table = Table(("registry", "OCI manifest", "MB sent"), (row,))
    return StepResult(step.package, tables=(table_json(table),), details=details)
