"""What the user calls a model, as a capture step: a live module, a factory, or an ONNX file."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError, MissingInput
from ..store import Store
from . import callables, data
from .steps.capture import CaptureStep


def capture_step(
    store: Store,
    model: Any,
    inputs: Any,
    *,
    name: str,
    state: str | Path | None = None,
    dynamic: str = "auto",
    preprocess: Callable[..., Any] | None = None,
) -> tuple[CaptureStep, Any]:
    """Return the step that captures a model, and the live module when there is one.

    Parameters
    ----------
    store
        Takes the example inputs, weights and files the step will read.
    model
        A module, a factory (a callable or ``"module:function"``), or the path of an ``.onnx`` file.
    inputs
        One batch of example inputs; an ONNX file needs none.
    name, state, dynamic, preprocess
        As in :func:`workbench.api.capture`.

    Raises
    ------
    MissingInput
        If there is no such file or module, or the example inputs are missing.
    InputError
        If `model` is nothing that can be captured.
    """
    if isinstance(model, str | Path) and str(model).endswith(".onnx"):
        return CaptureStep(file=data.put_files(store, onnx_files(_file(model))), name=name), None
    if inputs is None:
        raise MissingInput(
            "a torch model is captured with example inputs", where="inputs", fix="give --inputs BATCH"
        )
    step = CaptureStep(
        examples=data.put(store, inputs),
        state=data.put_files(store, [_file(state)]) if state is not None else "",
        dynamic=dynamic,
        preprocess=None if preprocess is None else callables.send(store, preprocess),
        preprocessing="" if preprocess is None else declaration(preprocess),
        name=name,
    )
    if _is_module(model):
        if state is not None:
            raise InputError("the module has its weights already", where="state", fix="leave --state out")
        return step, model
    factory = _factory(model)
    return CaptureStep(**{**vars(step), "factory": callables.send(store, factory)}), None


def declaration(function: Callable[..., Any]) -> str:
    """Return what a signature says of a preprocessing function: ``module:name``, or its source text."""
    if callables.is_importable(function):
        return callables.target_of(function)
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return callables.target_of(function)


def onnx_files(path: Path) -> list[Path]:
    """Return an ONNX file with the files that hold its external weights.

    Raises
    ------
    InputError
        If it is not an ONNX file or a weight file is missing.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except (DecodeError, ValueError) as error:
        raise InputError(
            f"{path.name} is not an ONNX file: {error}", where=str(path), fix="export the model again"
        ) from error
    entries = [entry for tensor in graph.initializer for entry in tensor.external_data]
    names = {entry.value for entry in entries if entry.key == "location"}
    return [path, *(_file(path.parent / name) for name in sorted(names))]


def _factory(model: Any) -> Callable[..., Any]:
    if isinstance(model, str):
        module, _, attribute = model.partition(":")
        try:
            model = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise MissingInput(
                f"{model!r} cannot be imported: {error}",
                where="model",
                fix="write module:function, or the path of an .onnx file",
            ) from error
    if not callable(model):
        raise InputError(
            "this is no model: it can be neither captured nor called",
            where=f"an object of type {type(model).__name__}",
            fix="pass a torch module, a function that returns one, or the path of an .onnx file",
        )
    return model  # type: ignore[no-any-return]


def _file(path: str | Path) -> Path:
    found = Path(path)
    if not found.is_file():
        raise MissingInput(f"no file {str(path)!r}", where=str(found.absolute()), fix="check the path")
    return found


def _is_module(model: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)
