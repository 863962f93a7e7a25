"""The comparison itself: values against the first model's, and the first layer where they part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ...program import read_signature
from ..evaluation import one_item
from .model import LayeredModel, common_feeds
from .times import layer_seconds

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray[Any, Any]]

FLOAT, ON_GRIDS = 1e-3, 1e-1
"""Largest difference over the peak that still counts as agreeing: between float models, and where one is quantized."""


@dataclass(frozen=True)
class Divergence:
    """Where a model parts from the first one.

    Parameters
    ----------
    model
        Its name.
    layer
        The first layer beyond `tolerance`; empty if there is none.
    error
        Largest difference of that layer's output over its peak; of the worst layer, if none is beyond.
    before
        The error of the layer ahead of it; None at the first.
    tolerance
        What may differ.
    """

    model: str
    layer: str
    error: float
    before: float | None
    tolerance: float


@dataclass(frozen=True)
class LayerComparison:
    """Models by layer.

    Parameters
    ----------
    models
        As they were named; the first is what the others are compared with.
    layers
        Paths of the layers that all of them have, in order.
    errors, seconds, sizes
        By model, then by layer; errors have no entry for the first model, seconds are None where the backend
        tells no time by layer.
    divergences
        One for each model but the first.
    """

    models: tuple[str, ...]
    layers: tuple[str, ...]
    errors: dict[str, dict[str, float]]
    seconds: dict[str, dict[str, float] | None]
    sizes: dict[str, dict[str, int]]
    divergences: tuple[Divergence, ...]


def compare_layers(models: list[LayeredModel], tolerance: float | None = None) -> LayerComparison:
    """Run the models on the captured inputs of the first and compare them layer by layer.

    Parameters
    ----------
    models
        Two or more of one program.
    tolerance
        Largest difference over the peak of a layer's output that counts as agreeing; None for
        :data:`FLOAT`, or :data:`ON_GRIDS` where one of two is quantized.

    Raises
    ------
    InputError
        If they take other inputs or share no layer.
    """
    feeds = common_feeds(models)
    wanted = [path for path in models[0].layers if all(path in other.layers for other in models[1:])]
    if not wanted:
        raise InputError(
            "the models have no layer in common",
            where="compare, layers",
            fix="compare what comes from one program",
        )
    first = models[0].values(wanted, feeds)
    errors = {other.name: _errors(first, other.values(wanted, feeds)) for other in models[1:]}
    limits = {
        other.name: tolerance
        if tolerance is not None
        else (ON_GRIDS if other.quantized or models[0].quantized else FLOAT)
        for other in models[1:]
    }
    one = one_item(read_signature(models[0].program), feeds)
    return LayerComparison(
        tuple(model.name for model in models),
        tuple(wanted),
        errors,
        {model.name: layer_seconds(model, one) for model in models},
        {model.name: model.sizes for model in models},
        tuple(divergence(name, found, limits[name]) for name, found in errors.items()),
    )


def _errors(first: Arrays, other: Arrays) -> dict[str, float]:
    return {path: difference(value, other[path]) for path, value in first.items()}


def difference(expected: np.ndarray[Any, Any], given: np.ndarray[Any, Any]) -> float:
    """Return the largest difference of two arrays over the peak of the first; infinite where shapes or NaN differ.

    Examples
    --------
    >>> import numpy as np
    >>> difference(np.array([1.0, -2.0]), np.array([1.0, -1.5]))
    0.25
    """
    import numpy

    if expected.shape != given.shape:
        return float("inf")
    finite = numpy.isfinite(expected)
    if not numpy.array_equal(expected[~finite], given[~finite], equal_nan=True):
        return float("inf")
    if not finite.any():
        return 0.0
    peak = float(numpy.abs(expected[finite]).max())
    worst = float(numpy.abs(expected[finite].astype("float64") - given[finite]).max())
    return worst / peak if peak else (0.0 if worst == 0 else float("inf"))


def divergence(model: str, errors: Mapping[str, float], tolerance: float) -> Divergence:
    """Return the first layer beyond the tolerance.

    Examples
    --------
    >>> divergence("b", {"first": 0.0, "second": 0.2, "third": 0.4}, 0.1).layer
    'second'
    """
    before: float | None = None
    for layer, error in errors.items():
        if not error <= tolerance:
            return Divergence(model, layer, error, before, tolerance)
        before = error
    return Divergence(model, "", max(errors.values()), None, tolerance)
