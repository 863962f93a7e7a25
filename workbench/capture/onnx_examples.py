"""Made-up inputs for an ONNX model that came without any: always the same, and accepted by the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import CaptureError, CompileError
from ..types import TensorSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..onnx_session import OnnxRunner

    Array = NDArray[Any]

# A file says "height" may change, not from which size on: pooling stages need 32 or more, text does not.
_BATCHES = (2, 1)
_SIZES = (8, 16, 32, 64, 224, 512)


def make_examples(
    runner: OnnxRunner, inputs: tuple[TensorSpec, ...], where: str
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return example inputs and the outputs the model gives for them.

    Open sizes are tried from small to large until the model takes them.

    Raises
    ------
    CaptureError
        If it takes none of them.
    """
    reason = ""
    for size in _SIZES:
        for batch in _BATCHES:
            feeds = synthesize(inputs, batch, size)
            try:
                return feeds, runner.run(feeds)
            except CompileError as error:
                reason = error.what
    raise CaptureError(
        f"the model takes none of the example sizes that were tried: {reason}",
        where=where,
        fix="fix its open dimensions: onnxruntime.tools.make_dynamic_shape_fixed",
    )


def synthesize(inputs: tuple[TensorSpec, ...], batch: int, size: int) -> dict[str, Array]:
    """Return arrays that fit the specs: normal floats, true, integers 0 and 1 (safe as indices).

    Examples
    --------
    >>> synthesize((TensorSpec("ids", "int64", ("n", "t")),), 1, 3)["ids"].tolist()
    [[0, 1, 0]]
    """
    sizes: dict[str, int] = {}
    for spec in inputs:
        for position, dim in enumerate(spec.shape):
            if isinstance(dim, str):
                sizes.setdefault(dim, batch if position == 0 else size)
    return {spec.name: _array(spec, sizes) for spec in inputs}


def _array(spec: TensorSpec, sizes: Mapping[str, int]) -> np.ndarray[Any, Any]:
    import numpy

    shape = [sizes[d] if isinstance(d, str) else d for d in spec.shape]
    if spec.dtype.startswith("float"):
        return numpy.random.default_rng(0).standard_normal(shape).astype(spec.dtype)
    if spec.dtype == "bool":
        return numpy.ones(shape, bool)
    return (numpy.arange(numpy.prod(shape, dtype=int)).reshape(shape) % 2).astype(spec.dtype)
