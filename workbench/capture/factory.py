"""Capture weights on disk together with the function that builds their module."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, MissingInput
from .module import capture_module
from .report import CaptureReport

if TYPE_CHECKING:
    from torch import Tensor, nn


def capture_factory(
    factory: str | Callable[[], nn.Module],
    inputs: Any,
    out: Path,
    *,
    state: Path | None = None,
    dynamic: str = "auto",
    preprocessing: str = "",
) -> CaptureReport:
    """Build a module, load its weights and capture it into the folder `out`.

    Parameters
    ----------
    factory
        A function without arguments that returns the module, or its ``"module:function"``.
    inputs, out, dynamic, preprocessing
        As :func:`~workbench.capture.capture_module` takes them.
    state
        A ``.safetensors`` file or a state dict saved with ``torch.save``; None keeps the factory's weights.
        Nothing but tensors is ever unpickled.

    Raises
    ------
    MissingInput
        If the factory or the file is not there.
    InputError
        If the factory returns no module, or the weights do not fit it.
    CaptureError
        If torch.export cannot follow the module.
    """
    module = _build(_resolve(factory) if isinstance(factory, str) else factory)
    if state is not None:
        _load(module, state)
    return capture_module(module, inputs, out, dynamic=dynamic, preprocessing=preprocessing)


def _resolve(text: str) -> Callable[[], nn.Module]:
    name, colon, attribute = text.partition(":")
    try:
        if not colon:
            raise ValueError("there is no colon")
        found: Callable[[], nn.Module] = getattr(importlib.import_module(name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise MissingInput(
            f"the factory {text!r} cannot be imported: {error}", where=text, fix="package.module:function"
        ) from error
    return found


def _build(factory: Callable[[], nn.Module]) -> nn.Module:
    from torch import nn

    module = factory()
    if not isinstance(module, nn.Module):
        raise InputError(
            f"the factory returned a {type(module).__name__}, not a torch module",
            where=getattr(factory, "__qualname__", repr(factory)),
            fix="return the nn.Module",
        )
    return module


def _load(module: nn.Module, path: Path) -> None:
    weights = _read(path)
    expected = module.state_dict()
    wrong = {
        "missing": sorted(set(expected) - set(weights)),
        "unknown": sorted(set(weights) - set(expected)),
        "of another shape": [n for n, t in expected.items() if n in weights and weights[n].shape != t.shape],
    }
    said = [f"{label}: {', '.join(names[:5])}" for label, names in wrong.items() if names]
    if said:
        raise InputError(
            f"the weights do not fit {type(module).__name__}; {'; '.join(said)}",
            where=str(path),
            fix="give the factory that built the model these weights were saved from",
        )
    module.load_state_dict(weights, assign=True)  # takes the tensors as they are: one copy in memory


def _read(path: Path) -> dict[str, Tensor]:
    import torch
    from safetensors.torch import load_file

    if not path.is_file():
        raise MissingInput("there is no weights file", where=str(path), fix="check the path")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"the weights cannot be read: {str(error).partition(chr(10))[0]}",
            where=str(path),
            fix="save them with safetensors, or torch.save(module.state_dict(), path)",
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise InputError(
            "the file holds more than a state dict of tensors",
            where=str(path),
            fix="torch.save(module.state_dict(), path)",
        )
    return state
