"""The signature of an ONNX model, as its onnxruntime session tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import CaptureError
from ..types import Dim, TensorSpec

if TYPE_CHECKING:
    import numpy as np

_DTYPES = {
    "tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64",
    "tensor(int8)": "int8", "tensor(uint8)": "uint8", "tensor(int16)": "int16", "tensor(int32)": "int32",
    "tensor(int64)": "int64", "tensor(bool)": "bool",
}  # fmt: skip


def input_specs(session: Any, where: str) -> tuple[TensorSpec, ...]:
    """Return the inputs; a size without a name gets one from the input and its position.

    Raises
    ------
    CaptureError
        If an input is not a tensor of a dtype that requests can carry.
    """
    return tuple(
        TensorSpec(v.name, _dtype(v, where), tuple(_dim(v.name, i, s) for i, s in enumerate(v.shape)))
        for v in session.get_inputs()
    )


def output_specs(
    session: Any, inputs: tuple[TensorSpec, ...], results: Mapping[str, np.ndarray[Any, Any]], where: str
) -> tuple[TensorSpec, ...]:
    """Return the outputs; their rank is that of a result, sizes that no input names are left open."""
    named = {size for spec in inputs for size in spec.shape if isinstance(size, str)}
    specs = []
    for value in session.get_outputs():
        actual = results[value.name].shape
        known = value.shape if len(value.shape) == len(actual) else [None] * len(actual)
        shape = (s if isinstance(s, int) or s in named else f"{value.name}_{i}" for i, s in enumerate(known))
        specs.append(TensorSpec(value.name, _dtype(value, where), tuple(shape)))
    return tuple(specs)


def _dtype(value: Any, where: str) -> str:
    if value.type not in _DTYPES:
        raise CaptureError(
            f"{value.name!r} is a {value.type}, which requests cannot carry",
            where=where,
            fix="cast it to a plain tensor inside the model",
        )
    return _DTYPES[value.type]


def _dim(name: str, position: int, size: int | str | None) -> Dim:
    if isinstance(size, int) and size > 0:
        return size
    if isinstance(size, str) and size:
        return size
    return "batch" if position == 0 else f"{name}_{position}"
