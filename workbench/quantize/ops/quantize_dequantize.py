"""``workbench::quantize_dequantize``: round an activation to a calibrated uint8 grid, stay in float.

    q = clamp(round(x / scale) + zero_point, 0, 255)        rounding half to even
    y = (q - zero_point) * scale

A pair of these around an operator lets onnxruntime run the operator itself on the integers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


@torch.library.custom_op("workbench::quantize_dequantize", mutates_args=())
def quantize_dequantize(x: Tensor, scale: float, zero_point: int) -> Tensor:
    """Return `x` rounded to the grid ``(0..255 - zero_point) * scale``.

    Examples
    --------
    >>> quantize_dequantize(torch.tensor([-9.0, 0.3, 1.0]), 0.5, 2).tolist()
    [-1.0, 0.5, 1.0]
    """
    q = ((x / scale).round() + zero_point).clamp(0, 255)
    return (q - zero_point) * scale


@quantize_dequantize.register_fake
def _fake(x: Tensor, scale: float, zero_point: int) -> Tensor:
    return torch.empty_like(x)


def _onnx(x: Any, scale: float, zero_point: int) -> Any:
    from onnxscript import opset20 as op

    grid = op.Constant(value_float=scale), op.Cast(op.Constant(value_int=zero_point), to=2)
    return op.DequantizeLinear(op.QuantizeLinear(x, *grid), *grid)


TRANSLATIONS = {torch.ops.workbench.quantize_dequantize.default: _onnx}
