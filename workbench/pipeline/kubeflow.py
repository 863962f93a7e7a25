"""Kubeflow's own package, touched here only: its components run in our workers, our pipelines on its clusters.

A component of ``kfp.dsl`` runs through ``kfp.dsl.executor.Executor``, which is what its container would start.
"""

from __future__ import annotations

import contextlib
import io
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
from .workers.order import FUNCTION, GIVEN, KUBEFLOW, STEP, Order, Outcome

_CONTENT, _METADATA, _OUTPUT_FILE = "content", "metadata.json", "executor_output.json"

_KIND = {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}


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


def run_container(store: Store, order: Order) -> Outcome:
    """Let kfp's own local runner start the command of a step's container, and take in what it left.

    The executor input names artifacts as Kubeflow's launcher does; its message
    (``pipeline_spec_pb2.ExecutorInput``) must take it.

    Raises
    ------
    StepFailed
        If the command fails or leaves no output; carries the end of what it printed.
    """
    from google.protobuf import json_format
    from kfp.local import config, placeholder_utils, subprocess_task_handler
    from kfp.pipeline_spec import pipeline_spec_pb2

    folder = store.scratch()
    try:
        form = _executor_input(store, order, folder)
        json_format.ParseDict(form, pipeline_spec_pb2.ExecutorInput())
        image, words = container_of(order)
        names = (order.run_id, order.path.replace("/", "-"), str(folder), order.run_id)
        places = ("pipeline_resource_name", "task_resource_name", "pipeline_root", "unique_pipeline_id")
        told = dict(zip(places, names, strict=True))
        words = placeholder_utils.replace_placeholders(words, executor_input_dict=form, **told)
        runner = config.SubprocessRunner(use_venv=False)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            handler = subprocess_task_handler.SubprocessTaskHandler(image, words, str(folder), runner)
            state = handler.run()
        print(printed.getvalue(), flush=True)
        if state.name != "SUCCESS":
            raise _failed(order, printed.getvalue())
        return _outcome(store, order, folder, form) if KUBEFLOW in order.body else _left(store, folder, form)
    finally:
        remove_tree(folder)


def container_of(order: Order) -> tuple[str, list[str]]:
    """Return image and command of an order's container, as they stand in the IR."""
    from .dsl.emit import IMAGE, command

    if KUBEFLOW in order.body:
        return IMAGE, list(order.body)
    flag = next(one for one in (FUNCTION, STEP, GIVEN) if one in order.body)
    lists = {name: {"isArtifactList": True} for name, one in order.artifacts.items() if isinstance(one, list)}
    definition = {"outputDefinitions": order.outputs, "inputDefinitions": {"artifacts": lists}}
    form = command(flag, order.argument(flag), definition)
    return form["image"], [*form["command"], *form["args"]]


def _left(store: Store, folder: Path, form: Mapping[str, Any]) -> Outcome:
    """Return what a container of ours left, with its artifacts taken into the store."""
    from .entrypoint import RESULT
    from .workers import parcel

    told = json.loads((folder / _OUTPUT_FILE).read_bytes())
    artifacts, result = {}, None
    for name in form["outputs"]["artifacts"]:
        (kept,) = told["artifacts"][name]["artifacts"]
        artifacts[name] = parcel.adopt(store, folder / name, kept["metadata"]["digest"])
        result = json.loads(kept["metadata"].get(RESULT, "null"))
    return Outcome(told["parameterValues"], artifacts, result)


def _failed(order: Order, printed: str) -> StepFailed:
    lines = [line.strip() for line in printed.splitlines() if line.strip()] or ["it printed nothing"]
    return StepFailed(
        f"its container failed: {lines[-1]}",
        where=f"{order.run_id}, {order.path}",
        fix=f"%mlops logs {order.run_id} shows what it printed",
        log=printed[-4000:],
    )


def _executor_input(store: Store, order: Order, folder: Path) -> dict[str, Any]:
    outputs = order.outputs
    inputs: dict[str, Any] = {"parameterValues": dict(order.parameters), "artifacts": {}}
    for name, value in order.artifacts.items():
        many = [value] if isinstance(value, str) else value
        lent = _lent if KUBEFLOW in order.body else _whole
        inputs["artifacts"][name] = {"artifacts": [lent(store, digest) for digest in many]}
    artifacts = {
        name: {"artifacts": [_artifact(name, form["artifactType"], folder / name, {})]}
        for name, form in outputs.get("artifacts", {}).items()
    }
    parameters = {name: {"outputFile": str(folder / f"{name}.out")} for name in outputs.get("parameters", {})}
    result = str(folder / _OUTPUT_FILE)
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
    if not (folder / _METADATA).is_file():
        return _artifact(digest, _KIND, folder, {})
    known = json.loads((folder / _METADATA).read_bytes())
    return _artifact(digest, known["type"], inside(folder, _CONTENT), known["metadata"])


def _whole(store: Store, digest: str) -> dict[str, Any]:
    """Return an artifact of the store as a container of ours left it: files and manifest in a folder."""
    store.artifacts.verify(digest)
    return _artifact(digest, _KIND, store.artifacts.path(digest), {"digest": digest})


def _outcome(store: Store, order: Order, folder: Path, form: Mapping[str, Any]) -> Outcome:
    from .workers.body import check_size, put

    written = folder / _OUTPUT_FILE
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
