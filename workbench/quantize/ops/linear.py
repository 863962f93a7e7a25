"""``workbench::linear_dynamic`` and ``linear_static``: a linear layer on integers.

    q_x = clamp(round(x / s) + z, 0, 255)                      uint8, per tensor
    y   = ((q_x - z) @ w_q.T) * (s * w_scale) + bias           w_q: [out, in] int8, w_scale: [out]

*dynamic* takes ``s, z`` from the tensor's own range at each call, exactly as ONNX DynamicQuantizeLinear;
*static* carries them. The ONNX form is the one onnxruntime fuses to (Dynamic)QuantizeMatMul and
MatMulIntegerToFloat.
"""

from __future__ import annotations

from typing import Any

import torch
from onnxscript import opset20
from torch import Tensor


@torch.library.custom_op("workbench::linear_dynamic", mutates_args=())
def linear_dynamic(x: Tensor, w_q: Tensor, w_scale: Tensor, bias: Tensor | None) -> Tensor:
    """Return the linear layer with `x` quantized on its own range. x: [..., in] -> [..., out]."""
    low, high = torch.aminmax(x)
    low, high = low.clamp(max=0), high.clamp(min=0)
    scale = (high - low) / 255
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    zero_point = (-low / scale).round().clamp(0, 255)
    return _integer_linear(x, scale, zero_point, w_q, w_scale, bias)


@torch.library.custom_op("workbench::linear_static", mutates_args=())
def linear_static(
    x: Tensor, scale: float, zero_point: int, w_q: Tensor, w_scale: Tensor, bias: Tensor | None
) -> Tensor:
    """Return the linear layer with `x` quantized on a calibrated grid. x: [..., in] -> [..., out]."""
    grid = x.new_tensor(scale), x.new_tensor(float(zero_point))
    return _integer_linear(x, *grid, w_q, w_scale, bias)


def _integer_linear(
    x: Tensor, scale: Tensor, zero_point: Tensor, w_q: Tensor, w_scale: Tensor, bias: Tensor | None
) -> Tensor:
    # Integers held in float32: exact up to 2^24, beyond that off by less than the later float multiply.
    q = ((x / scale).round() + zero_point).clamp(0, 255) - zero_point
    y = (q @ w_q.to(x.dtype).t()) * (scale * w_scale)
    return y if bias is None else y + bias


@linear_dynamic.register_fake
def _fake_dynamic(x: Tensor, w_q: Tensor, w_scale: Tensor, bias: Tensor | None) -> Tensor:
    return x.new_empty((*x.shape[:-1], w_q.shape[0]))


@linear_static.register_fake
def _fake_static(
    x: Tensor, scale: float, zero_point: int, w_q: Tensor, w_scale: Tensor, bias: Tensor | None
) -> Tensor:
    return x.new_empty((*x.shape[:-1], w_q.shape[0]))


def _onnx_dynamic(x: Any, w_q: Any, w_scale: Any, bias: Any = None) -> Any:
    q, scale, zero_point = opset20.DynamicQuantizeLinear(x)
    accumulated = opset20.MatMulInteger(q, opset20.Transpose(w_q, perm=[1, 0]), zero_point)
    y = opset20.Mul(opset20.Cast(accumulated, to=1), opset20.Mul(scale, w_scale))
    return y if bias is None else opset20.Add(y, bias)


def _onnx_static(x: Any, scale: float, zero_point: int, w_q: Any, w_scale: Any, bias: Any = None) -> Any:
    grid = opset20.Constant(value_float=scale), opset20.Cast(opset20.Constant(value_int=zero_point), to=2)
    rounded = opset20.DequantizeLinear(opset20.QuantizeLinear(x, *grid), *grid)
    w = opset20.DequantizeLinear(opset20.Transpose(w_q, perm=[1, 0]), w_scale, axis=1)
    y = opset20.MatMul(rounded, w)
    return y if bias is None else opset20.Add(y, bias)


TRANSLATIONS = {
    torch.ops.workbench.linear_dynamic.default: _onnx_dynamic,
    torch.ops.workbench.linear_static.default: _onnx_static,
}
