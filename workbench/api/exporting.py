"""A pipeline as a file for Kubeflow, which any executor of any store runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..atomic import write_bytes
from ..errors import InputError
from ..pipeline.result import Result
from ..render.table import Table
from ..store import Store
from .pipelines import work_of


def export_pipeline(
    work: Any, out: str | Path, arguments: Mapping[str, Any] | None = None, *, store: Store | None = None
) -> Result:
    """Write a pipeline for Kubeflow, with the small artifacts it reads inside it.

    The file runs on any executor and in any store (:func:`run`), with the same digests; a cluster's containers need
    an image with this workbench.

    Parameters
    ----------
    work, arguments
        As for :func:`run`, or the id of a run. Arguments become the defaults of the pipeline's inputs.
    out
        The ``.yaml`` file; replaced when it exists.

    Raises
    ------
    InputError
        If it reads artifacts too large to carry, or carries a function that cannot travel; names which.
    """
    from ..pipeline.carry import carried
    from ..pipeline.dsl import Pipeline
    from ..pipeline.executors.limits import refuse_bound

    path = Path(out).expanduser()
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(f"{path.name} is no .yaml file", where=str(path), fix="name it pipeline.yaml")
    store = store or Store()
    order = work_of(store, work, arguments)
    refuse_bound(order.graph(), "Kubeflow")
    order = carried(store, order)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = Pipeline(order.name, _with_defaults(order.spec, order.arguments), order.platform).yaml()
    write_bytes(path, text.encode())
    rows = [(name, _what(executor)) for name, executor in order.spec["deploymentSpec"]["executors"].items()]
    table = Table(("executor", "runs"), [(name.removeprefix("exec-"), what) for name, what in rows])
    return Result(f"{order.name} in {path}", (table,), details={"path": str(path)}, store=store)


def _with_defaults(spec: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec with arguments as defaults of its inputs."""
    from ..pipeline.ir import graph_of
    from ..pipeline.walk.made import arguments_of

    if not arguments:
        return dict(spec)
    given = arguments_of(graph_of(spec), arguments)
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    filled = {
        key: {**form, "defaultValue": given[key], "isOptional": True} if key in given else form
        for key, form in inputs.items()
    }
    definitions = {**spec["root"]["inputDefinitions"], "parameters": filled}
    return {**spec, "root": {**spec["root"], "inputDefinitions": definitions}}


def _what(executor: Mapping[str, Any]) -> str:
    """Return in a word or two what a container of a pipeline does."""
    from ..pipeline.workers.order import FUNCTION, GIVEN, KUBEFLOW, STEP

    arguments = executor.get("container", {}).get("args", [])
    words = {
        FUNCTION: "a function",
        STEP: "a verb",
        GIVEN: "an artifact, carried",
        KUBEFLOW: "a component of kfp",
    }
    return next((what for flag, what in words.items() if flag in arguments), "an importer or a container")
