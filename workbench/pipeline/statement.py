"""Any artifact's provenance as an in-toto statement with an SLSA v1 predicate.

https://in-toto.io/Statement/v1, https://slsa.dev/spec/v1.0/provenance: what was built (``subject``), by which
step with which parameters (``buildDefinition``), from what (``resolvedDependencies``: parents, data, code as git
trees, the environment), by whom and when (``runDetails``).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ..package.signature import BUILDER, statement
from ..store import Origin, Store
from ..types import Manifest
from .answers import parameters_of

STEP = "urn:mlops-workbench:step:v1"


def provenance(store: Store, digest: str, name: str) -> dict[str, Any]:
    """Return the statement of an artifact.

    Raises
    ------
    UnknownArtifact, CorruptArtifact
        If it is not there or not whole.
    """
    manifest = store.artifacts.manifest(digest)
    made = store.origins.of(digest)
    last = made[-1] if made else None
    flat = parameters_of(manifest)
    predicate = {
        "buildDefinition": {
            "buildType": STEP,
            "externalParameters": {"step": str(manifest.step.get("type", "")), "parameters": flat},
            "internalParameters": {"hardware": dict(last.facts) if last else {}},
            "resolvedDependencies": [
                *(_resource(kind, value) for kind, value in _inputs(store, manifest)),
                *_trees(last),
            ],
        },
        "runDetails": {
            "builder": {"id": BUILDER, "version": {"workbench": manifest.code}},
            **({"metadata": _metadata(store, last)} if last else {}),
        },
    }
    return statement(digest, name, predicate)


def _inputs(store: Store, manifest: Manifest) -> list[tuple[str, str]]:
    found = [
        (store.artifacts.manifest(parent).kind, parent)
        for parent in manifest.parents
        if store.artifacts.exists(parent)
    ]
    found += [(f"data: {role}", value) for role, value in sorted(manifest.data.items())]
    return found + ([("environment", manifest.environment)] if manifest.environment else [])


def _resource(name: str, digest: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}


def _trees(last: Origin | None) -> list[dict[str, Any]]:
    if last is None or "tree" not in last.sources:
        return []
    digests = {"gitTree": last.sources["tree"]}
    if last.sources["commit"]:
        digests["gitCommit"] = last.sources["commit"]
    notes = {"changed": last.sources["dirty"]}
    return [{"name": "code", "digest": digests, "annotations": notes}]


def _metadata(store: Store, last: Origin) -> dict[str, str]:
    run = next((one for one in store.runs.some([last.run_id])), None)
    started = run.created_s if run else last.created_s
    return {
        "invocationId": f"{last.run_id}/{last.position}",
        "startedOn": _iso(min(started, last.created_s)),  # clocks of two machines may disagree
        "finishedOn": _iso(last.created_s),
    }


def _iso(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
