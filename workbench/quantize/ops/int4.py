"""``workbench::linear_int4`` and ``unpack_int4``: 4-bit weights, float activations.

    w[n, k] = (code[n, k] - 8) * scale[n, k // B]          code in 1..15: symmetric, zero stays zero

Two codes a byte, low half first along K; ``w_codes`` is uint8 [N, ceil(K / B) * B / 2], padded with code 8 (zero);
``w_scale`` is float32 [N, ceil(K / B)]; B, 32 unless asked otherwise, is what both shapes say. That is the layout of
com.microsoft's MatMulNBits, which a linear layer becomes in onnxruntime; there it takes int8 activations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .matmul_nbits import INT8_ACTIVATIONS, matmul_nbits

BLOCK = 32
_TOP, _ZERO, _ZEROS = 7, 8, 0x88


def quantize_int4(w: Tensor, block: int = BLOCK) -> tuple[Tensor, Tensor]:
    """Return (codes, scale) of a float matrix [N, K], each block of weights along K on a grid of its own.

    Examples
    --------
    >>> codes, scale = quantize_int4(torch.tensor([[0.7, -0.3, 0.0]]))
    >>> unpack_int4(codes, scale, [1, 3])
    tensor([[ 0.7000, -0.3000,  0.0000]])
    """
    rows, columns = w.shape
    blocks = torch.nn.functional.pad(w.detach().float(), (0, -columns % block)).view(rows, -1, block)
    scale = blocks.abs().amax(-1) / _TOP
    scale = torch.where(scale < torch.finfo(torch.float32).tiny, 1.0, scale)
    codes = ((blocks / scale.unsqueeze(-1)).round().clamp(-_TOP, _TOP) + _ZERO).to(torch.uint8).view(rows, -1)
    return codes[:, 0::2] | codes[:, 1::2] << 4, scale


@torch.library.custom_op("workbench::linear_int4", mutates_args=())
def linear_int4(x: Tensor, w_codes: Tensor, w_scale: Tensor, bias: Tensor | None, in_features: int) -> Tensor:
    """Return the linear layer on the float weight behind the codes. x: [..., K] -> [..., N]."""
    w = floats(w_codes, w_scale, in_features).to(x.dtype)
    return torch.nn.functional.linear(x, w, bias)


@torch.library.custom_op("workbench::unpack_int4", mutates_args=())
def unpack_int4(w_codes: Tensor, w_scale: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the float weight; a row of codes is one slice of axis 0."""
    return floats(w_codes, w_scale, math.prod(shape[1:])).view(*shape)


def floats(w_codes: Tensor, w_scale: Tensor, columns: int) -> Tensor:
    """Return the float matrix behind the codes, [N, columns]."""
    codes = torch.stack((w_codes & 15, w_codes >> 4), -1).view(*w_scale.shape, -1)
    floats = (codes.float() - _ZERO) * w_scale.unsqueeze(-1)
    return floats.flatten(1)[:, :columns].contiguous()


def block_of(w_codes: Any, w_scale: Any) -> int:
    """Return how many weights share a scale."""
    return 2 * int(w_codes.shape[1]) // int(w_scale.shape[1])


@linear_int4.register_fake
def _fake_linear(
    x: Tensor, w_codes: Tensor, w_scale: Tensor, bias: Tensor | None, in_features: int
) -> Tensor:
    return x.new_empty((*x.shape[:-1], w_codes.shape[0]))


@unpack_int4.register_fake
def _fake_unpack(w_codes: Tensor, w_scale: Tensor, shape: Sequence[int]) -> Tensor:
    return w_scale.new_empty(tuple(shape))


def _onnx_linear(x: Any, w_codes: Any, w_scale: Any, bias: Any, in_features: int) -> Any:
    from onnxscript import opset20 as op

    rows, blocks = w_scale.shape
    block = block_of(w_codes, w_scale)
    packed = op.Reshape(w_codes, op.Constant(value_ints=[rows, blocks, block // 2]))
    zero_points = op.Expand(
        op.Cast(op.Constant(value_int=_ZEROS), to=2), op.Constant(value_ints=[rows, math.ceil(blocks / 2)])
    )
    y = matmul_nbits()(
        x, packed, w_scale, zero_points, K=in_features, N=rows, bits=4, block_size=block,
        accuracy_level=INT8_ACTIVATIONS,
    )  # fmt: skip
    return y if bias is None else op.Add(y, bias)


def _onnx_unpack(w_codes: Any, w_scale: Any, shape: Sequence[int]) -> Any:
    from onnxscript import opset20 as op

    last = op.Constant(value_ints=[-1])
    shifts = op.Cast(op.Constant(value_ints=[0, 4]), to=2)
    halves = op.BitShift(op.Unsqueeze(w_codes, last), shifts, direction="RIGHT")
    codes = op.Cast(op.BitwiseAnd(halves, op.Cast(op.Constant(value_int=15), to=2)), to=1)
    rows, blocks = w_scale.shape
    block = block_of(w_codes, w_scale)
    parts = op.Reshape(codes, op.Constant(value_ints=[rows, blocks, block]))
    floats = op.Mul(op.Sub(parts, op.Constant(value_float=float(_ZERO))), op.Unsqueeze(w_scale, last))
    flat = op.Reshape(floats, op.Constant(value_ints=[rows, blocks * block]))
    columns = op.Constant(value_ints=[math.prod(shape[1:])])
    cut = op.Slice(flat, op.Constant(value_ints=[0]), columns, op.Constant(value_ints=[1]))
    return op.Reshape(cut, op.Constant(value_ints=list(shape)))


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.workbench.linear_int4.default: _onnx_linear,
    torch.ops.workbench.unpack_int4.default: _onnx_unpack,
}
