"""``workbench::dequantize``: symmetric integers back to float, one scale per slice of an axis.

    y[..., i, ...] = q[..., i, ...] * scale[i]        q: int8 weight or int32 bias, scale: [n] float32

*fused* says who undoes the integers. True: the consumer is quantized too, so the node stays a
DequantizeLinear that onnxruntime melts into an integer kernel (QLinearConv). False: weight-only storage;
the node becomes Cast and Mul, which onnxruntime computes once at load instead of at every call.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


@torch.library.custom_op("workbench::dequantize", mutates_args=())
def dequantize(q: Tensor, scale: Tensor, axis: int, fused: bool) -> Tensor:
    """Return ``q * scale`` with `scale` along `axis`.

    Examples
    --------
    >>> dequantize(torch.tensor([[2], [4]], dtype=torch.int8), torch.tensor([0.5, 0.25]), 0, False).tolist()
    [[1.0], [1.0]]
    """
    return q.to(scale.dtype) * scale.view(_along(axis, q.dim()))


@dequantize.register_fake
def _fake(q: Tensor, scale: Tensor, axis: int, fused: bool) -> Tensor:
    return torch.empty_like(q, dtype=scale.dtype)


def _along(axis: int, rank: int) -> list[int]:
    return [-1 if i == axis else 1 for i in range(rank)]


def _onnx(q: Any, scale: Any, axis: int, fused: bool) -> Any:
    from onnxscript import opset20 as op

    if fused:
        return op.DequantizeLinear(q, scale, axis=axis)
    shape = op.Constant(value_ints=_along(axis, len(q.shape)))
    return op.Mul(op.Cast(q, to=1), op.Reshape(scale, shape))


TRANSLATIONS = {torch.ops.workbench.dequantize.default: _onnx}
