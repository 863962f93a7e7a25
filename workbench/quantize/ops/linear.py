"""``workbench::linear_dynamic`` and ``linear_static``: a linear layer on integers.

*dynamic* gives each row (token) of `x` a uint8 grid of its own at each call::

    low, high = min(row, 0), max(row, 0)        s = (high - low) / 255
    q = round((row - low) / s)                  uint8
    y = s * (q @ w_q.T * w_scale) + low * sum(w_q * w_scale) + bias

One grid a row rather than one a tensor (ONNX DynamicQuantizeLinear) for two reasons: an outlier token does not
coarsen the others (MiniLM: cosine to float 0.9987 instead of 0.9925, for a tenth to a fifth more time), and a
row's result does not depend on what else is in its batch.

*static* has one calibrated grid, ``q = clamp(round(x / scale) + zero_point, 0, 255)``.

Both lower to the form that onnxruntime fuses to MatMulIntegerToFloat. w_q: [out, in] int8, w_scale: [out].
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_TINY = 1e-30
"""The least range of a row, so that a row of zeros divides zero by something."""


@torch.library.custom_op("workbench::linear_dynamic", mutates_args=())
def linear_dynamic(x: Tensor, w_q: Tensor, w_scale: Tensor, bias: Tensor | None) -> Tensor:
    """Return the linear layer with each row of `x` on its own grid. x: [..., in] -> [..., out]."""
    low = x.amin(-1, keepdim=True).clamp(max=0)
    high = x.amax(-1, keepdim=True).clamp(min=_TINY)
    scale = (high - low) * (1 / 255)
    q = ((x - low) / scale).round().clamp(0, 255)
    column_sums = (w_q.to(x.dtype) * w_scale.unsqueeze(-1)).sum(-1)
    y = _integer_matmul(q, w_q) * w_scale * scale + low * column_sums
    return y if bias is None else y + bias


@torch.library.custom_op("workbench::linear_static", mutates_args=())
def linear_static(
    x: Tensor, scale: float, zero_point: int, w_q: Tensor, w_scale: Tensor, bias: Tensor | None
) -> Tensor:
    """Return the linear layer with `x` quantized on a calibrated grid. x: [..., in] -> [..., out]."""
    q = ((x / scale).round() + zero_point).clamp(0, 255) - zero_point
    y = _integer_matmul(q, w_q) * w_scale * scale
    return y if bias is None else y + bias


def _integer_matmul(q: Tensor, w_q: Tensor) -> Tensor:
    # Integers held in float32: exact up to 2^24, beyond that off by no more than the later multiply rounds away.
    return q @ w_q.to(q.dtype).t()


@linear_dynamic.register_fake
def _fake_dynamic(x: Tensor, w_q: Tensor, w_scale: Tensor, bias: Tensor | None) -> Tensor:
    return x.new_empty((*x.shape[:-1], w_q.shape[0]))


@linear_static.register_fake
def _fake_static(
    x: Tensor, scale: float, zero_point: int, w_q: Tensor, w_scale: Tensor, bias: Tensor | None
) -> Tensor:
    return x.new_empty((*x.shape[:-1], w_q.shape[0]))


def _onnx_dynamic(x: Any, w_q: Any, w_scale: Any, bias: Any = None) -> Any:
    from onnxscript import opset20 as op

    last = op.Constant(value_ints=[-1])
    low = op.Min(op.ReduceMin(x, last), op.Constant(value_float=0.0))
    high = op.Max(op.ReduceMax(x, last), op.Constant(value_float=_TINY))
    scale = op.Mul(op.Sub(high, low), op.Constant(value_float=1 / 255))
    rows = op.Div(op.Sub(x, low), scale)
    w_t = op.Transpose(w_q, perm=[1, 0])
    # Constant: onnxruntime computes it once at load.
    first = op.Constant(value_ints=[0])
    column_sums = op.ReduceSum(op.Mul(op.Cast(w_t, to=1), w_scale), first, keepdims=0)
    y = op.Mul(_onnx_matmul(rows, 1.0, 0, w_t, w_scale), scale)
    y = op.Add(y, op.Mul(low, column_sums))
    return y if bias is None else op.Add(y, bias)


def _onnx_static(x: Any, scale: float, zero_point: int, w_q: Any, w_scale: Any, bias: Any = None) -> Any:
    from onnxscript import opset20 as op

    y = _onnx_matmul(x, scale, zero_point, op.Transpose(w_q, perm=[1, 0]), w_scale)
    y = op.Mul(y, op.Constant(value_float=scale))
    return y if bias is None else op.Add(y, bias)


def _onnx_matmul(x: Any, scale: float, zero_point: int, w_t: Any, w_scale: Any) -> Any:
    """Return the product in units of `scale`; the weight comes transposed.

    The caller multiplies by `scale` afterwards: were the bias added right here, onnxruntime would turn a
    2-D product into a float Gemm and dequantize the weight at every call.
    """
    from onnxscript import opset20 as op

    zero = op.Cast(op.Constant(value_int=zero_point), to=2)
    q = op.QuantizeLinear(x, op.Constant(value_float=scale), zero)
    w = op.DequantizeLinear(w_t, w_scale, axis=1)
    return op.MatMul(op.DequantizeLinear(q, op.Constant(value_float=1.0), zero), w)


TRANSLATIONS = {
    torch.ops.workbench.linear_dynamic.default: _onnx_dynamic,
    torch.ops.workbench.linear_static.default: _onnx_static,
}
