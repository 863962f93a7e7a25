"""Kubeflow's own package, touched here only: its components run in our workers, our pipelines on its clusters.

A component of ``kfp.dsl`` runs through ``kfp.dsl.executor.Executor``, which is what its container would start.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import types
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..atomic import disk_guard, inside, write_bytes
from ..errors import InputError, RunError, StepFailed, missing_dependency
from ..store import Store
from ..store.blobs import remove_tree
from .dsl import Pipeline
from .workers.order import KUBEFLOW, Order, Outcome

_CONTENT, _METADATA = "content", "metadata.json"


def run_component(store: Store, order: Order) -> Outcome:
    """Run a Python component of kfp in this process, and store the artifacts it wrote.

    Raises
    ------
    MissingDependency
        If kfp is not installed.
    StepFailed
        If it wrote nothing where an output is declared.
    """
    try:
        from kfp.dsl import executor
    except ImportError:
        raise missing_dependency("kfp", "kubeflow") from None
    flag = order.body.index(KUBEFLOW)
    source, name = order.body[order.body.index("--executor_input") - 1], order.body[flag + 1]
    module = types.ModuleType("kfp_component")
    exec(compile(source, f"<component {name}>", "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - the user's component
    folder = store.scratch()
    try:
        form = _executor_input(store, order, folder)
        executor.Executor(executor_input=form, function_to_execute=getattr(module, name)).execute()
        return _outcome(store, order, folder, form)
    finally:
        remove_tree(folder)


def _executor_input(store: Store, order: Order, folder: Path) -> dict[str, Any]:
    outputs = order.outputs
    inputs: dict[str, Any] = {"parameterValues": dict(order.parameters), "artifacts": {}}
    for name, value in order.artifacts.items():
        many = [value] if isinstance(value, str) else value
        inputs["artifacts"][name] = {"artifacts": [_lent(store, digest) for digest in many]}
    artifacts = {
        name: {"artifacts": [_artifact(name, form["artifactType"], folder / name, {})]}
        for name, form in outputs.get("artifacts", {}).items()
    }
    parameters = {name: {"outputFile": str(folder / f"{name}.out")} for name in outputs.get("parameters", {})}
    result = str(folder / "executor_output.json")
    return {
        "inputs": inputs,
        "outputs": {"parameters": parameters, "artifacts": artifacts, "outputFile": result},
    }


def _artifact(name: str, kind: Mapping[str, Any], path: Path, metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "type": dict(kind), "uri": str(path), "metadata": dict(metadata)}


def _lent(store: Store, digest: str) -> dict[str, Any]:
    """Return an artifact of the store as a component sees one."""
    store.artifacts.verify(digest)
    folder = store.artifacts.path(digest)
    kind: Mapping[str, Any] = {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}
    if not (folder / _METADATA).is_file():
        return _artifact(digest, kind, folder, {})
    known = json.loads((folder / _METADATA).read_bytes())
    return _artifact(digest, known["type"], inside(folder, _CONTENT), known["metadata"])


def _outcome(store: Store, order: Order, folder: Path, form: Mapping[str, Any]) -> Outcome:
    from .workers.body import check_size, put

    written = folder / "executor_output.json"
    told = json.loads(written.read_bytes()) if written.is_file() else {}
    parameters = dict(told.get("parameterValues", {}))
    check_size(parameters, order.path)
    artifacts = {}
    for name, one in form["outputs"]["artifacts"].items():
        path = folder / name
        if not path.exists():
            raise StepFailed(
                f"it wrote nothing to its output {name}", where=order.path, fix=f"write to {name}.path"
            )
        metadata = (
            told.get("artifacts", {}).get(name, {"artifacts": [{}]})["artifacts"][0].get("metadata", {})
        )
        kept = store.scratch()
        try:
            with disk_guard(kept):
                (shutil.copytree if path.is_dir() else shutil.copyfile)(path, kept / _CONTENT)
            kind = one["artifacts"][0]["type"]
            write_bytes(
                kept / _METADATA, json.dumps({"type": kind, "metadata": metadata}, sort_keys=True).encode()
            )
            artifacts[name] = put(store, order, kept, {"component": name})
        finally:
            remove_tree(kept)
    return Outcome(parameters, artifacts)


def validated(pipeline: Pipeline) -> Any:
    """Return a pipeline as Kubeflow's own message, which refuses what is no part of it.

    Raises
    ------
    MissingDependency
        If kfp is not installed.
    InputError
        If a field is unknown or has another type.
    """
    try:
        from google.protobuf import json_format
        from kfp.pipeline_spec import pipeline_spec_pb2
    except ImportError:
        raise missing_dependency("kfp", "kubeflow") from None
    try:
        json_format.ParseDict(pipeline.platform, pipeline_spec_pb2.PlatformSpec())
        return json_format.ParseDict(pipeline.spec, pipeline_spec_pb2.PipelineSpec())
    except json_format.ParseError as error:
        raise InputError(f"Kubeflow would not take it: {error}", where=pipeline.name) from error


def submit(pipeline: Pipeline, host: str, arguments: Mapping[str, Any], *, token: str = "") -> str:
    """Give a pipeline to a cluster and return the id of its run there.

    Raises
    ------
    MissingDependency
        If kfp is not installed.
    InputError
        If Kubeflow would not take the pipeline.
    RunError
        If the cluster does not answer, or refuses.
    """
    validated(pipeline)
    import kfp
    from kfp_server_api.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        path.write_text(pipeline.yaml())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", FutureWarning
                )  # "only works with version 2": which is what we write
                client = kfp.Client(host=host, existing_token=token or None)
            made = client.create_run_from_pipeline_package(str(path), arguments=dict(arguments))
        except (ApiException, HTTPError, OSError, ValueError) as error:
            what = f"the cluster did not take the pipeline: {type(error).__name__}"
            raise RunError(what, where=host, fix="check the address and the token", log=str(error)) from error
    return str(made.run_id)
