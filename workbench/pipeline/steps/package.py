"""The step ``package``: a compiled artifact, its lineage and environment lock as an OCI layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ...codec import register
from ...errors import InputError
from ...render.table import Table
from ..context import StepContext
from ..locks import note_contents
from ..recipe import step_body
from ..result import StepResult, table_json


@register("package_step")
@dataclass(frozen=True)
class PackageStep:
    """Package a compiled artifact.

    Parameters
    ----------
    compiled
        The compiled artifact.
    label
        What the package calls itself, such as ``minilm:int8``.
    name
        What to call the package in the store, empty for no name.
    key, key_id
        File of the secret key that signs it, and the key's id (the file may change); empty for no signature.
    """

    verb: ClassVar[str] = "package"
    inputs: ClassVar[tuple[str, ...]] = ("compiled",)
    code: ClassVar[tuple[str, ...]] = ("package", "pipeline/steps/package.py")

    compiled: str
    label: str
    name: str = ""
    key: str = ""
    key_id: str = ""


@step_body(PackageStep)
def package(step: PackageStep, context: StepContext) -> StepResult:
    """Pack into a folder and store it."""
    from ...package import lock, pack
    from ...package.keys import read_signing

    manifest = context.manifest(step.compiled)
    if manifest.kind != "compiled":
        raise InputError(
            f"{step.label} is a {manifest.kind}, only a compiled artifact can be packaged",
            where=step.compiled,
            fix=f"%mlops compile {step.label} --backend onnxruntime",
        )
    key = read_signing(Path(step.key)) if step.key else None
    if key is not None and key.public.id != step.key_id:
        raise InputError("the key has changed since the push was asked for", where=step.key, fix="push again")
    out = context.folder()
    context.stage("packing")
    note_contents(context.store)
    report = pack(
        context.input(step.compiled),
        out,
        manifest=manifest,
        lineage=_lineage(step, context),
        environment=lock(),
        name=step.label,
        key=key,
    )
    digest = context.put("package", out, signature=manifest.signature, parents=(step.compiled,))
    signed = key.public.id[:12] if key else "no"
    row = (step.label, report.files, report.size_bytes / 1e6, report.digest[:19], signed)
    return StepResult(
        digest,
        tables=(table_json(Table(("package", "files", "MB", "OCI manifest", "signed by"), (row,))),),
        details={"oci_digest": report.digest},
    )


def _lineage(step: PackageStep, context: StepContext) -> dict[str, Any]:
    """Return the ancestors without times: a package holds nothing that differs between runs."""
    graph = context.store.lineage(step.compiled)
    nodes = [_node(context, node.digest) for node in sorted(graph.nodes, key=lambda one: one.digest)]
    return {"root": graph.root, "nodes": nodes, "edges": [list(edge) for edge in graph.edges]}


def _node(context: StepContext, digest: str) -> dict[str, Any]:
    manifest = context.manifest(digest)
    facts = {
        "digest": digest,
        "kind": manifest.kind,
        "made_by": str(manifest.step.get("type", "")).removesuffix("_step"),
        "code": manifest.code,
        "environment": manifest.environment,
        "data": dict(manifest.data),
    }
    return {key: value for key, value in facts.items() if value}
