"""MLflow as the team's registry: runs, metrics, artifacts, model versions and aliases appear there, once each.

Only where a tracking URI is set (``MLOPS_TRACKING_URI``, or MLflow's own ``MLFLOW_TRACKING_URI``); nothing else needs
MLflow. What the workbench knows stays the truth: MLflow gets copies, tagged with our run and digest, so publishing
twice changes nothing. Only aliases travel back: ``push minilm@champion`` takes the version that has it there.

A finished run is published by a process of its own, so that neither MLflow's import nor its server is waited for.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import (
    InputError,
    MissingDependency,
    RunError,
    UnknownArtifact,
    WorkbenchError,
    missing_dependency,
)
from ..store import ArtifactName, RunRow, StepRow, Store
from . import child
from .answers import parameters_of
from .workers.order import Outcome

RUN, DIGEST = "mlops.run", "mlops.digest"
FAILED = "run.untracked"
"""Kind of the event that says why a run could not be published."""
_LARGEST_BYTES = 1 << 30
_KINDS = ("compiled", "package")
_LONGEST = 500


def tracking_uri() -> str:
    """Return where MLflow is, empty for nowhere."""
    return os.environ.get("MLOPS_TRACKING_URI") or os.environ.get("MLFLOW_TRACKING_URI", "")


def begin(store: Store, run_id: str) -> None:
    """Publish a run that has ended, in a detached process, if a tracking URI is set."""
    if tracking_uri():
        with (store.home / "logs" / f"{run_id}.tracking.log").open("ab") as log:
            child.start("workbench.pipeline.tracking", str(store.home), run_id, out=log)


def publish(store: Store, run_id: str) -> str:
    """Publish a run, its models and the aliases they have here; return MLflow's id of it.

    Raises
    ------
    UnknownRun
        If there is no such run.
    MissingDependency
        If MLflow is not installed, or only ``mlflow-skinny`` where a database file asks for more.
    RunError
        If MLflow refuses or cannot be reached.
    """
    row = store.runs.get(run_id)
    with _mlflow() as client:
        entry = _entry(client, store, row)
        if not entry.data.tags.get("mlops.published"):
            for step in row.steps:
                if step.state == "done" and step.result:
                    _step(client, store, entry, step)
            client.set_tag(entry.info.run_id, "mlops.published", "yes")
            status = {"done": "FINISHED", "cancelled": "KILLED"}.get(row.state, "FAILED")
            client.set_terminated(entry.info.run_id, status, _milliseconds(row.finished_s))
        _aliases(client, store)
        return str(entry.info.run_id)


def resolve(store: Store, text: str) -> str:
    """Return the digest that an alias means in MLflow, or the text as it is where MLflow has no such alias.

    Raises
    ------
    UnknownArtifact
        If MLflow's version is not in this store.
    RunError, MissingDependency
        As :func:`publish`.
    """
    if not tracking_uri() or text.startswith("sha256:"):
        return text
    name = ArtifactName.parse(text)
    if not name.alias:
        return text
    with _mlflow() as client:
        try:
            version = client.get_model_version_by_alias(name.base, name.alias)
        except Exception:  # noqa: BLE001 - MLflow has no class of its own for "there is none"
            return text
    digest = str(version.tags.get(DIGEST, ""))
    if not digest or not store.artifacts.exists(digest):
        raise UnknownArtifact(
            f"{text} is version {version.version} in MLflow, which this store does not have",
            where=digest or text,
            fix="%mlops pull it from the registry it was pushed to",
        )
    return digest


@contextlib.contextmanager
def _mlflow() -> Iterator[Any]:
    """Give a client; whatever MLflow raises becomes an error that says where it was."""
    uri = tracking_uri()
    if not uri:
        raise InputError(
            "no tracking URI is set", where="MLflow", fix="export MLOPS_TRACKING_URI=sqlite:///mlflow.db"
        )
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, about its own
        try:
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise missing_dependency("mlflow", "mlflow") from error
        try:
            yield MlflowClient(tracking_uri=uri, registry_uri=uri)
        except WorkbenchError:
            raise
        except Exception as error:
            if "UnsupportedModelRegistryStoreURI" in type(error).__name__ or isinstance(error, ImportError):
                raise MissingDependency(
                    f"mlflow-skinny alone cannot keep a registry in {uri.partition(':')[0]}",
                    where=uri,
                    fix="pip install mlflow, or set the URI of a server",
                ) from error
            raise RunError(f"MLflow says: {error}", where=uri, fix="is the tracking URI right?") from error


def _entry(client: Any, store: Store, row: RunRow) -> Any:
    """Return MLflow's run of ours, made when absent."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "mlops")
    experiment = client.get_experiment_by_name(name)
    at = experiment.experiment_id if experiment else client.create_experiment(name)
    found = client.search_runs([at], f"tags.`{RUN}` = '{row.id}'")
    if found:
        return found[0]
    tags = {RUN: row.id, "mlflow.runName": row.title or row.id, **_sources(store, row)}
    return client.create_run(at, start_time=_milliseconds(row.created_s), tags=tags)


def _sources(store: Store, row: RunRow) -> dict[str, str]:
    outputs = [digest for step in row.steps if (digest := _output(step))]
    made = [one for digest in outputs for one in store.origins.of(digest) if one.run_id == row.id]
    if not made:
        return {}
    last = made[-1]
    tags = {"mlflow.user": str(last.facts.get("user", "")), "mlops.host": str(last.facts.get("host", ""))}
    if last.sources.get("commit"):
        tags["mlflow.source.git.commit"] = last.sources["commit"]
    return {**tags, **({"mlops.tree": last.sources["tree"]} if last.sources.get("tree") else {})}


def _output(step: StepRow) -> str:
    """Return what a verb made, wherever it ran; empty where nothing was recorded."""
    return str((Outcome.of(step.result or {}).result or {}).get("output", ""))


def _step(client: Any, store: Store, entry: Any, step: StepRow) -> None:
    run, digest = entry.info.run_id, _output(step)
    if not store.artifacts.exists(digest):
        return
    manifest = store.artifacts.manifest(digest)
    for key, value in parameters_of(manifest).items():
        client.log_param(run, _word(f"{step.verb}.{key}"), str(value)[:_LONGEST])
    for key, value in dict(manifest.metrics).items():
        client.log_metric(run, _word(f"{step.verb}.{key}"), float(value))
    for one in store.measurements.of(digest):
        client.log_metric(run, _word(f"{step.verb}.{one.key}"), one.value)
    folder, place = store.artifacts.path(digest), f"{step.position}-{step.verb}"
    size = sum(entry.size_bytes for entry in manifest.files)
    if manifest.kind in _KINDS and size <= _LARGEST_BYTES:
        client.log_artifacts(run, str(folder), place)
        _register(client, store, entry, digest, place)
    else:
        client.log_artifact(run, str(folder / "manifest.json"), place)


def _register(client: Any, store: Store, entry: Any, digest: str, place: str) -> None:
    """Make an artifact a version of the model it is named after."""
    names = [name for name in store.names.of(digest) if "@" not in name] or [
        name
        for parent in store.artifacts.manifest(digest).parents
        for name in store.names.of(parent)
        if "@" not in name
    ]
    if not names:
        return
    base = ArtifactName.parse(names[0]).base
    if _version(client, base, digest):
        return
    if not client.search_registered_models(f"name = '{base}'"):
        client.create_registered_model(base)
    tags = {DIGEST: digest, "mlops.name": names[0]}
    client.create_model_version(base, f"{entry.info.artifact_uri}/{place}", entry.info.run_id, tags=tags)


def _aliases(client: Any, store: Store) -> None:
    """Set the aliases that deployments have here on the versions there."""
    for row in store.names.list():
        name = ArtifactName.parse(row.name)
        if name.alias and not (name.variant or name.backend) and name.alias != "profile":
            version = _version(client, name.base, row.digest)
            if version:
                client.set_registered_model_alias(name.base, name.alias, version)


def _version(client: Any, base: str, digest: str) -> str:
    for one in client.search_model_versions(f"name = '{base}'"):
        if one.tags.get(DIGEST) == digest:
            return str(one.version)
    return ""


def _word(text: str) -> str:
    """Return a key as MLflow takes it."""
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in text)[:250]


def _milliseconds(time_s: float | None) -> int | None:
    return None if time_s is None else round(time_s * 1000)


def main(home: Path, run_id: str) -> int:
    """Publish a run; why it could not be is an event of the run."""
    store = Store(home)
    try:
        publish(store, run_id)
    except WorkbenchError as error:
        store.events.append(run_id, -1, FAILED, error.to_json())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
