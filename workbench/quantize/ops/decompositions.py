"""The operators in torch's own: for compilers that know only those.

Calibrated grids become ``quantized_decomposed`` pairs, which inductor fuses into integer convolutions and linear
layers. Grids found at each call leave ``_int_mm``, torch's product of signed bytes, between arithmetic in
float: the form that torchao gives a linear layer with int8 weights and activations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.ao.quantization.fx._decomposed
from torch import Tensor

from .int4 import floats
from .linear import _TINY

_MIDDLE = 128
decomposed = torch.ops.quantized_decomposed


def _quantize_dequantize(x: Tensor, scale: float, zero_point: int) -> Tensor:
    q = decomposed.quantize_per_tensor.default(x, scale, zero_point, 0, 255, torch.uint8)
    return decomposed.dequantize_per_tensor.default(q, scale, zero_point, 0, 255, torch.uint8)  # type: ignore[no-any-return]


def _dequantize(q: Tensor, scale: Tensor, axis: int, fused: bool) -> Tensor:
    if q.dtype == torch.int8:
        zeros = torch.zeros_like(scale, dtype=torch.int64)
        return decomposed.dequantize_per_channel.default(q, scale, zeros, axis, -127, 127, torch.int8)  # type: ignore[no-any-return]
    return q.to(scale.dtype) * scale.view([-1 if i == axis else 1 for i in range(q.dim())])


def _linear_dynamic(x: Tensor, w_q: Tensor, w_scale: Tensor, bias: Tensor | None) -> Tensor:
    low = x.amin(-1, keepdim=True).clamp(max=0)
    high = x.amax(-1, keepdim=True).clamp(min=_TINY)
    scale = (high - low) * (1 / 255)
    # The product is of signed bytes: the grid's 0 is moved to -128, and what that takes away is added by the column.
    q = (((x - low) / scale).round().clamp(0, 255) - _MIDDLE).to(torch.int8)
    sums = torch._int_mm(q.reshape(-1, x.shape[-1]), w_q.t()).reshape(*x.shape[:-1], w_q.shape[0])
    columns = w_q.to(torch.int32).sum(-1).to(x.dtype)
    y = (sums.to(x.dtype) + _MIDDLE * columns) * w_scale * scale + low * (columns * w_scale)
    return y if bias is None else y + bias


def _linear_static(
    x: Tensor, scale: float, zero_point: int, w_q: Tensor, w_scale: Tensor, bias: Tensor | None
) -> Tensor:
    rounded = _quantize_dequantize(x, scale, zero_point)
    return torch.nn.functional.linear(rounded, _dequantize(w_q, w_scale, 0, True), bias)


def _linear_int4(
    x: Tensor, w_codes: Tensor, w_scale: Tensor, bias: Tensor | None, in_features: int
) -> Tensor:
    return torch.nn.functional.linear(x, floats(w_codes, w_scale, in_features).to(x.dtype), bias)


def _unpack_int4(w_codes: Tensor, w_scale: Tensor, shape: Sequence[int]) -> Tensor:
    columns = 1
    for size in shape[1:]:
        columns *= size
    return floats(w_codes, w_scale, columns).view(*shape)


def _embedding(ids: Tensor, q: Tensor, scale: Tensor) -> Tensor:
    return q[ids].to(scale.dtype) * scale[ids].unsqueeze(-1)


def decompositions() -> dict[Any, Callable[..., Any]]:
    """Return operator -> function of torch's own operators, as ``run_decompositions`` takes them."""
    own = torch.ops.workbench
    return {
        own.quantize_dequantize.default: _quantize_dequantize,
        own.dequantize.default: _dequantize,
        own.linear_dynamic.default: _linear_dynamic,
        own.linear_static.default: _linear_static,
        own.linear_int4.default: _linear_int4,
        own.unpack_int4.default: _unpack_int4,
        own.embedding_int8.default: _embedding,
    }
