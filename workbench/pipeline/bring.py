"""What a user calls a pipeline, as one: ours, Kubeflow's, a file, or the name of a function in a module."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError, MissingInput, missing_dependency
from .dsl import Pipeline, pipeline
from .function_source import FunctionSource
from .ir import graph_of

__all__ = ["FunctionSource", "bring"]  # steps of a compiled pipeline are read with the record registered


def bring(given: Any) -> Pipeline:
    """Return a pipeline.

    Parameters
    ----------
    given
        A compiled pipeline, a function that calls steps, a pipeline function of ``kfp.dsl``, the path of a YAML
        or JSON file with a PipelineSpec, or ``"module:function"``.

    Raises
    ------
    MissingInput
        If there is no such file or module.
    InputError
        If it is no pipeline, or its references lead nowhere.
    """
    found = _found(given)
    graph_of(found.spec, found.platform)
    return found


def _found(given: Any) -> Pipeline:
    if isinstance(given, Pipeline):
        return given
    spec = getattr(given, "pipeline_spec", None)
    if spec is not None and hasattr(spec, "SerializeToString"):
        return _of_kubeflow(given)
    if isinstance(given, str | Path) and str(given).endswith((".yaml", ".yml", ".json")):
        return read(Path(given))
    if isinstance(given, str) and ":" in given:
        return _found(_import(given))
    if callable(given):
        return pipeline(given)
    raise InputError(
        f"a {type(given).__name__} is no pipeline",
        where="pipeline",
        fix="give a function with @wb.pipeline, a pipeline of kfp.dsl, a .yaml file, or module:function",
    )


def read(path: Path) -> Pipeline:
    """Return the pipeline in a file: the PipelineSpec, and the PlatformSpec after ``---`` if any."""
    if not path.is_file():
        raise MissingInput(f"no file {str(path)!r}", where=str(path.absolute()), fix="check the path")
    text = path.read_text()
    try:
        documents = [json.loads(text)] if path.suffix == ".json" else _yaml(text)
    except ValueError as error:
        raise InputError(f"{path.name} cannot be read: {error}", where=str(path)) from error
    if not documents or not all(isinstance(one, Mapping) for one in documents):
        raise InputError(f"{path.name} holds no pipeline", where=str(path))
    spec = documents[0]
    name = str(spec.get("pipelineInfo", {}).get("name", path.stem))
    return Pipeline(name, spec, documents[1] if len(documents) > 1 else {})


def _yaml(text: str) -> list[Any]:
    try:
        import yaml
    except ImportError:
        raise missing_dependency("pyyaml", "kubeflow") from None
    try:
        return [one for one in yaml.safe_load_all(text) if one is not None]
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _of_kubeflow(given: Any) -> Pipeline:
    from google.protobuf import json_format

    spec = json_format.MessageToDict(given.pipeline_spec)
    platform = json_format.MessageToDict(given.platform_spec)
    return Pipeline(str(spec["pipelineInfo"]["name"]), spec, platform)


def _import(text: str) -> Any:
    module, _, attribute = text.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise MissingInput(
            f"{text!r} cannot be imported: {error}", where="pipeline", fix="write module:function"
        ) from error
