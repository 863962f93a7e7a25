"""The ternary operators in ONNX, for stock onnxruntime.

A linear layer becomes com.microsoft's ``MatMulNBits`` with 2 bits: our codes are its bytes, with zero point 1. It
takes int8 activations too, on a grid for each block of weights where ours has one for each token, so the two
differ by what rounding costs either of them (0.6 % of the output for a normal weight). Block 128 is the fastest
by a factor of 1.3 (64) to 2.3 (32); a scale for each row is repeated for its blocks.

A convolution computes the same integers as the operator, held in floats. All others unpack their weight, which
onnxruntime does once, at load. The model file holds the packed codes throughout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from .matmul_nbits import INT8_ACTIVATIONS, matmul_nbits

_BLOCK = 128
_BLOCKS = (16, 32, 64, 128, 256)
"""Block sizes of MatMulNBits."""
_ZEROS = 0b01010101
"""Four codes of weight 0, which are four zero points of 1 as well."""
_FLOAT, _UINT8, _HALVES = 1, 2, (10, 16)


def _in_float32(layer: Callable[..., Any]) -> Callable[..., Any]:
    """Let a layer compute in float32 between activations of any float type, as the operator does."""

    def translate(x: Any, *rest: Any) -> Any:
        from onnxscript import opset20 as op

        if x.dtype not in _HALVES:
            return layer(x, *rest)
        wide = [op.Cast(one, to=_FLOAT) if getattr(one, "dtype", None) in _HALVES else one for one in rest]
        given: Any = op.Cast(x, to=_FLOAT)
        given.shape = x.shape
        return op.CastLike(layer(given, *wide), x)

    return translate


def _linear(x: Any, w_codes: Any, w_scale: Any, bias: Any, in_features: int) -> Any:
    from onnxscript import opset20 as op

    groups = w_scale.shape[1]
    block = _BLOCK if groups == 1 else in_features // groups
    if block in _BLOCKS:
        y = _matmul_nbits(x, w_codes, w_scale, in_features, block)
    else:
        weight = _unpacked(w_codes, w_scale, [w_codes.shape[0], in_features])
        q, scale = _integers(x, [-1])
        y = op.Mul(op.MatMul(q, op.Transpose(weight, perm=[1, 0])), scale)
    return y if bias is None else op.Add(y, bias)


def _matmul_nbits(x: Any, w_codes: Any, w_scale: Any, columns: int, block: int) -> Any:
    from onnxscript import opset20 as op

    rows, width = w_codes.shape
    blocks = math.ceil(columns / block)
    missing = blocks * block // 4 - width
    pads = op.Constant(value_ints=[0, 0, 0, missing])
    padded = op.Pad(w_codes, pads, op.Cast(op.Constant(value_int=_ZEROS), to=_UINT8))
    packed = op.Reshape(padded, op.Constant(value_ints=[rows, blocks, block // 4]))
    scales = op.Expand(w_scale, op.Constant(value_ints=[rows, blocks]))
    zero_points = op.Expand(
        op.Cast(op.Constant(value_int=_ZEROS), to=_UINT8),
        op.Constant(value_ints=[rows, math.ceil(blocks / 4)]),
    )
    return matmul_nbits()(
        x,
        packed,
        scales,
        zero_points,
        K=columns,
        N=rows,
        bits=2,
        block_size=block,
        accuracy_level=INT8_ACTIVATIONS,
    )


def _conv(
    x: Any,
    w_codes: Any,
    w_scale: Any,
    bias: Any,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Any:
    from onnxscript import opset20 as op

    q, scale = _integers(x, list(range(1, len(kernel) + 2)))
    channels = int(x.shape[1]) // groups
    weight = _unpacked(w_codes, None, [w_codes.shape[0], channels, *kernel])
    sums = op.Conv(
        q, weight, strides=list(stride), pads=[*padding] * 2, dilations=list(dilation), group=groups,
        kernel_shape=list(kernel),
    )  # fmt: skip
    across = op.Constant(value_ints=[-1, *[1] * len(kernel)])
    y = op.Mul(sums, op.Mul(scale, op.Reshape(w_scale, across)))
    return y if bias is None else op.Add(y, op.Reshape(bias, across))


def _embedding(indices: Any, w_codes: Any, w_scale: Any, features: int) -> Any:
    from onnxscript import opset20 as op

    trits = _trits(op.Gather(w_codes, indices), features)
    scales = op.Gather(w_scale, indices)
    groups = w_scale.shape[1]
    if groups == 1:
        return op.Mul(trits, scales)
    last = op.Constant(value_ints=[-1])
    ahead = op.Shape(indices)
    parts = op.Reshape(trits, op.Concat(ahead, op.Constant(value_ints=[groups, features // groups]), axis=0))
    scaled = op.Mul(parts, op.Unsqueeze(scales, last))
    return op.Reshape(scaled, op.Concat(ahead, op.Constant(value_ints=[features]), axis=0))


def _unpack(w_codes: Any, w_scale: Any, shape: Sequence[int]) -> Any:
    return _unpacked(w_codes, w_scale, shape)


def _unpacked(w_codes: Any, w_scale: Any | None, shape: Sequence[int]) -> Any:
    """Return the weight in floats: with its scales, or as -1, 0 and 1."""
    from onnxscript import opset20 as op

    columns = math.prod(shape[1:])
    weight = _trits(w_codes, columns)
    if w_scale is not None:
        groups = w_scale.shape[1]
        parts = op.Reshape(weight, op.Constant(value_ints=[shape[0], groups, columns // groups]))
        weight = op.Mul(parts, op.Unsqueeze(w_scale, op.Constant(value_ints=[-1])))
    return op.Reshape(weight, op.Constant(value_ints=list(shape)))


def _trits(codes: Any, columns: int) -> Any:
    """Return [..., columns] floats of -1, 0 and 1 from [..., ceil(columns / 4)] bytes."""
    from onnxscript import opset20 as op

    last = op.Constant(value_ints=[-1])
    shifts = op.Cast(op.Constant(value_ints=[0, 2, 4, 6]), to=_UINT8)
    pairs = op.BitwiseAnd(
        op.BitShift(op.Unsqueeze(codes, last), shifts, direction="RIGHT"),
        op.Cast(op.Constant(value_int=3), to=_UINT8),
    )
    flat = op.Reshape(pairs, op.Concat(op.Shape(codes, end=-1), last, axis=0))
    cut = op.Slice(flat, op.Constant(value_ints=[0]), op.Constant(value_ints=[columns]), last)
    return op.Sub(op.Cast(cut, to=_FLOAT), op.Constant(value_float=1.0))


def _integers(x: Any, axes: list[int]) -> tuple[Any, Any]:
    from onnxscript import opset20 as op

    peak = op.ReduceMax(op.Abs(x), op.Constant(value_ints=axes))
    scale = op.Div(peak, op.Constant(value_float=127.0))
    zero = op.Equal(peak, op.Constant(value_float=0.0))
    scale = op.Where(zero, op.Constant(value_float=1.0), scale)
    bounds = op.Constant(value_float=-127.0), op.Constant(value_float=127.0)
    return op.Clip(op.Round(op.Div(x, scale)), *bounds), scale


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.workbench.linear_ternary.default: _in_float32(_linear),
    torch.ops.workbench.conv_ternary.default: _in_float32(_conv),
    torch.ops.workbench.embedding_ternary.default: _embedding,
    torch.ops.workbench.unpack_ternary.default: _unpack,
}
