"""What a run is in OpenLineage's words: a job for the run, one for each of its steps, artifacts as datasets.

Everything is a function of the store, so the same run gives the same events whenever they are asked for: ids are UUIDs
derived from ours, times are those of the store.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from ... import __version__
from ...store import RunRow, StepRow, Store
from ..views import label
from ..workers.order import Outcome

PRODUCER = f"urn:mlops-workbench:{__version__}"
_SPEC = "https://openlineage.io/spec"
SCHEMA = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = f"{_SPEC}/facets"
_IDS = uuid.UUID("6f6e8e2c-0d57-5c8e-9f0e-6d6c6f707321")
_ENDS = {"done": "COMPLETE", "failed": "FAIL", "cancelled": "ABORT"}


def started(row: RunRow, *, again: bool = False) -> dict[str, Any]:
    """Return the event of a run that begins, or goes on after it was interrupted."""
    return _event("RUNNING" if again else "START", row.created_s, _run(row), _job(row, "RUN"))


def ended(store: Store, row: RunRow) -> Iterator[dict[str, Any]]:
    """Yield the events of the steps that were started, and of the run's end."""
    inputs, outputs = dict[str, Any](), dict[str, Any]()
    for step in row.steps:
        if step.started_s is None and not step.cached:
            continue
        taken, made = _datasets(store, row, step)
        inputs, outputs = {**inputs, **taken}, {**outputs, **made}
        yield from _step(store, row, step, list(taken.values()), list(made.values()))
    if row.state in _ENDS:
        given = [dataset for name, dataset in inputs.items() if name not in outputs]
        run = _run(row, _failure(next((s for s in row.steps if s.state == "failed"), None)))
        finished = row.finished_s or row.created_s
        yield _event(_ENDS[row.state], finished, run, _job(row, "RUN"), given, list(outputs.values()))


def _step(
    store: Store, row: RunRow, step: StepRow, inputs: list[Any], outputs: list[Any]
) -> Iterator[dict[str, Any]]:
    begin = step.started_s or step.finished_s or row.created_s
    parent = _facet("ParentRunFacet", "1-0-1", run={"runId": _id(row.id)}, job=_name(row))
    facets = {"parent": parent, **_failure(step)}
    run = {"runId": _id(f"{row.id}/{step.position}/{step.attempt}"), "facets": facets}
    job = _job(row, "STEP", f".{step.position}-{step.verb}")
    yield _event("START", begin, run, job, inputs)
    if step.state in _ENDS:
        yield _event(_ENDS[step.state], step.finished_s or begin, run, job, inputs, outputs)


def _datasets(store: Store, row: RunRow, step: StepRow) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a step read and what it made, by digest."""
    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    for digest in filter(store.artifacts.exists, Outcome.of(step.result or {}).artifacts.values()):
        manifest = store.artifacts.manifest(digest)
        inputs |= {parent: _dataset(store, parent) for parent in manifest.parents}
        for role, data in sorted(manifest.data.items()):
            inputs[data] = _named(f"data/{role}/{_short(data)}", data, "data")
        outputs[digest] = _dataset(store, digest)
    return inputs, outputs


def _dataset(store: Store, digest: str) -> dict[str, Any]:
    if not store.artifacts.exists(digest):
        return _named(_short(digest), digest, "artifact")
    return _named(label(store, digest), digest, store.artifacts.manifest(digest).kind)


def _named(name: str, digest: str, kind: str) -> dict[str, Any]:
    return {
        "namespace": _namespace(),
        "name": name,
        "facets": {
            "version": _facet("DatasetVersionDatasetFacet", "1-0-1", datasetVersion=digest),
            "datasetType": _facet("DatasetTypeDatasetFacet", "1-0-0", datasetType=kind.upper()),
        },
    }


def _run(row: RunRow, facets: dict[str, Any] | None = None) -> dict[str, Any]:
    engine = _facet("ProcessingEngineRunFacet", "1-1-1", version=__version__, name="mlops-workbench")
    return {"runId": _id(row.id), "facets": {"processing_engine": engine, **(facets or {})}}


def _failure(step: StepRow | None) -> dict[str, Any]:
    """Return the error of a failed step as a facet."""
    if step is None or step.state != "failed" or not step.error:
        return {}
    message = str(step.error.get("what") or step.error.get("error", "failed"))
    return {
        "errorMessage": _facet("ErrorMessageRunFacet", "1-0-1", message=message, programmingLanguage="python")
    }


def _job(row: RunRow, kind: str, suffix: str = "") -> dict[str, Any]:
    facet = _facet(
        "JobTypeJobFacet", "2-0-3", processingType="BATCH", integration="MLOPS_WORKBENCH", jobType=kind
    )
    named = _name(row)
    return {**named, "name": named["name"] + suffix, "facets": {"jobType": facet}}


def _name(row: RunRow) -> dict[str, str]:
    return {"namespace": _namespace(), "name": row.title or "+".join(step.verb for step in row.steps)}


def _event(
    kind: str,
    time_s: float,
    run: dict[str, Any],
    job: dict[str, Any],
    inputs: list[Any] | None = None,
    outputs: list[Any] | None = None,
) -> dict[str, Any]:
    return {
        "eventType": kind,
        "eventTime": datetime.fromtimestamp(time_s, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z"),
        "run": run,
        "job": job,
        "inputs": inputs or [],
        "outputs": outputs or [],
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
    }


def _facet(name: str, version: str, /, **fields: Any) -> dict[str, Any]:
    return {"_producer": PRODUCER, "_schemaURL": f"{_FACETS}/{version}/{name}.json#/$defs/{name}", **fields}


def _namespace() -> str:
    return os.environ.get("OPENLINEAGE_NAMESPACE") or "mlops"


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


def _id(text: str) -> str:
    return str(uuid.uuid5(_IDS, text))
