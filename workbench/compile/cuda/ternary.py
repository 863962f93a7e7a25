"""A ternary linear layer in Triton: 2-bit codes times int8 activations, exact int32 sums.

The same arithmetic as ``workbench::linear_ternary`` with one scale a row of the weight::

    s = max|x| / 127 (1 where x is all zeros)      q = rne(x / s)
    y[n] = float(sum_k q[k] t[n, k]) * (s * w_scale[n]) + bias[n]

A byte holds the codes of four neighbouring k. Activations are quantized into four planes, ``plane[j][i] = q[4 i + j]``,
so that the j-th code of every byte meets one contiguous plane and decoding is a shift, a mask and a subtraction.
The sizes of a weight are constants of a kernel: one is compiled for each.
``TRITON_INTERPRET=1`` in the environment, before triton is imported, runs the kernels without a GPU.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor


class Blocks(NamedTuple):
    """How a product is cut: rows, outputs and code bytes a block, warps, stages of loads in flight, parts of K."""

    rows: int
    outputs: int
    depth: int
    warps: int
    stages: int
    parts: int = 1


def blocks_for(rows: int) -> Blocks:
    """Return the cut for a number of rows of activations.

    Few rows: the codes come from memory once, so many small blocks read at the same time. Many rows: large blocks.
    """
    if rows <= 16:
        return Blocks(16, 64, 128, 4, 3, 4)
    if rows <= 64:
        return Blocks(64, 64, 64, 4, 3)
    return Blocks(128, 128, 64, 8, 3) if rows < 1024 else Blocks(256, 128, 64, 8, 3)


@triton.jit
def quantize_kernel(  # noqa: ANN201
    x_ptr, plane_ptr, scale_ptr,  # noqa: ANN001
    features: tl.constexpr, width: tl.constexpr, BLOCK: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """One row a program: its scale, then its four planes of `width` int8 each."""
    row = tl.program_id(0).to(tl.int64)
    most = tl.zeros([BLOCK], tl.float32)
    for start in range(0, features, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * features + at, mask=at < features, other=0.0).to(tl.float32)
        most = tl.maximum(most, tl.abs(x))
    largest = tl.max(most, 0)
    scale = tl.where(largest == 0.0, 1.0, tl.div_rn(largest, 127.0))
    tl.store(scale_ptr + row, scale)
    for start in range(0, 4 * width, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * features + at, mask=at < features, other=0.0).to(tl.float32)
        level = tl.div_rn(x, scale)
        level = (level + 12582912.0) - 12582912.0  # 1.5 * 2^23: rounds to the nearest, ties to even
        level = tl.minimum(tl.maximum(level, -127.0), 127.0)
        place = plane_ptr + row * 4 * width + (at % 4) * width + at // 4
        tl.store(place, level.to(tl.int8), mask=at < 4 * width)


@triton.jit
def product_kernel(  # noqa: ANN201
    plane_ptr, codes_ptr, out_ptr, rows, outputs, width: tl.constexpr,  # noqa: ANN001
    ROWS: tl.constexpr, OUTPUTS: tl.constexpr, DEPTH: tl.constexpr, PARTS: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """Sum over the code bytes; with several PARTS each adds its share to `out`, which begins at zero."""
    m = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    n = tl.program_id(1) * OUTPUTS + tl.arange(0, OUTPUTS)
    part = tl.program_id(2)
    total = tl.zeros([ROWS, OUTPUTS], tl.int32)
    m_at, n_at = m.to(tl.int64)[:, None], n.to(tl.int64)[None, :]
    m_in, n_in = (m < rows)[:, None], (n < outputs)[None, :]
    for step in range((width + DEPTH * PARTS - 1) // (DEPTH * PARTS)):
        k = (step * PARTS + part) * DEPTH + tl.arange(0, DEPTH)
        # Code 1 is the weight 0: what lies outside adds nothing.
        codes = tl.load(codes_ptr + n_at * width + k[:, None], mask=n_in & (k < width)[:, None], other=0x55)
        for j in tl.static_range(4):
            place = plane_ptr + m_at * 4 * width + j * width + k[None, :]
            q = tl.load(place, mask=m_in & (k < width)[None, :], other=0)
            weight = ((codes >> (2 * j)) & 3).to(tl.int8) - 1
            total = tl.dot(q, weight.to(tl.int8), total, out_dtype=tl.int32)
    place = out_ptr + m_at * outputs + n_at
    if PARTS == 1:
        tl.store(place, total, mask=m_in & n_in)
    else:
        tl.atomic_add(place, total, mask=m_in & n_in)


@triton.jit
def scale_kernel(  # noqa: ANN201
    sums_ptr, scale_ptr, weight_scale_ptr, bias_ptr, y_ptr, outputs,  # noqa: ANN001
    BIASED: tl.constexpr, BLOCK: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """Turn sums into results: ``sum * (s * w_scale) + bias``, in the result's type."""
    row = tl.program_id(0).to(tl.int64)
    n = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = n < outputs
    sums = tl.load(sums_ptr + row * outputs + n, mask=inside, other=0).to(tl.float32)
    y = sums * (tl.load(scale_ptr + row) * tl.load(weight_scale_ptr + n, mask=inside, other=0.0))
    if BIASED:
        y += tl.load(bias_ptr + n, mask=inside, other=0.0).to(tl.float32)
    tl.store(y_ptr + row * outputs + n, y.to(y_ptr.dtype.element_ty), mask=inside)


def quantize(x: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return planes and scales of rows. x: [M, K] float -> int8 [M, 4, width], float32 [M]."""
    rows, features = x.shape
    planes = torch.empty((rows, 4, width), dtype=torch.int8, device=x.device)
    scales = torch.empty(rows, dtype=torch.float32, device=x.device)
    quantize_kernel[(rows,)](x, planes, scales, features, width, BLOCK=1024)
    return planes, scales


def accumulate(planes: Tensor, codes: Tensor, blocks: Blocks | None = None) -> Tensor:
    """Return the exact sums. planes: int8 [M, 4, W], codes: uint8 [N, W] -> int32 [M, N]."""
    rows, _, width = planes.shape
    outputs, cut = len(codes), blocks or blocks_for(rows)
    make = torch.empty if cut.parts == 1 else torch.zeros
    sums = make((rows, outputs), dtype=torch.int32, device=planes.device)
    grid = (triton.cdiv(rows, cut.rows), triton.cdiv(outputs, cut.outputs), cut.parts)
    product_kernel[grid](
        planes, codes, sums, rows, outputs, width,
        ROWS=cut.rows, OUTPUTS=cut.outputs, DEPTH=cut.depth, PARTS=cut.parts,
        num_warps=cut.warps, num_stages=cut.stages,
    )  # fmt: skip
    return sums


def linear_ternary(
    x: Tensor, w_codes: Tensor, w_scale: Tensor, bias: Tensor | None, in_features: int
) -> Tensor:
    """Return the linear layer, as ``workbench::linear_ternary`` computes it. x: [..., K] float -> [..., N].

    Parameters
    ----------
    x
        Activations, float32, float16 or bfloat16.
    w_codes
        uint8 ``[N, ceil(K / 4)]``, code = weight + 1, little end first, padded with code 1.
    w_scale
        float32 ``[N, 1]``.
    bias
        ``[N]`` or None.
    in_features
        K.

    Raises
    ------
    ValueError
        If the weight has several scales a row; the reference takes those.
    """
    if w_scale.shape[-1] != 1:
        raise ValueError("the Triton kernel takes one scale a row of the weight")
    flat = x.reshape(-1, in_features).contiguous()
    planes, scales = quantize(flat, w_codes.shape[1])
    sums = accumulate(planes, w_codes)
    y = torch.empty(sums.shape, dtype=x.dtype, device=x.device)
    scale_kernel[(len(flat), triton.cdiv(len(w_codes), 1024))](
        sums, scales, w_scale, w_scale if bias is None else bias, y, len(w_codes),
        BIASED=bias is not None, BLOCK=1024,
    )  # fmt: skip
    return y.reshape(*x.shape[:-1], len(w_codes))
