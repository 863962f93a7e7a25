"""The arithmetic of int8: weights per channel, grids for activations, and how much signal is left.

    weights      q = round(w / scale), scale = max|w| / 127 per channel: symmetric, zero stays zero
    activations  q = round(x / scale) + zero_point in 0..255: one grid a tensor, holds zero exactly

Pure functions of tensors and numbers; everything else in this package decides where to use them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

_CHUNK = 1 << 20
"""Elements taken at a time into double precision: a large table must not be held three times over."""


class Grid(NamedTuple):
    """A uint8 grid: value ``(q - zero_point) * scale`` for q in 0..255."""

    scale: float
    zero_point: int


def quantize_weight(
    w: Tensor, axis: int, *, reduce_range: bool = False, floor: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return (q int8 like `w`, scale float32 [w.shape[axis]]) with ``|w - q * scale| <= scale / 2``.

    No scale goes below `floor` [w.shape[axis]]. A channel of zeros gets scale 1, so that nothing divides by zero.

    Examples
    --------
    >>> q, scale = quantize_weight(torch.tensor([[1.27, -0.5], [0.0, 0.0]]), 0)
    >>> q.tolist(), scale.tolist()
    ([[127, -50], [0, 0]], [0.009999999776482582, 1.0])
    """
    top = 63 if reduce_range else 127
    others = [i for i in range(w.dim()) if i != axis]
    peak = w.detach().abs().amax(dim=others) if others else w.detach().abs()
    scale = (peak / top).float()
    scale = scale if floor is None else torch.maximum(scale, floor.float())
    # A subnormal scale has lost its digits (and may flush to zero): such a channel is zero for all purposes.
    scale = torch.where(scale < torch.finfo(torch.float32).tiny, torch.ones_like(scale), scale)
    q = (w.detach() / scale.view(along(axis, w.dim()))).round().clamp(-top, top)
    return q.to(torch.int8), scale


def quantize_conv(
    w: Tensor, bias: Tensor | None, x_scale: float, *, reduce_range: bool = False
) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Return (q, scale, bias int32, bias scale) as an integer convolution reads them. w: [out, in, ...].

    The bias joins the int32 accumulator, so its scale must be ``x_scale * scale``. A channel whose weights
    are tiny beside its bias would overflow there: its scale is raised until the bias fits 30 bits. What its
    weights lose is below 1e-4 of that bias.
    """
    floor = None if bias is None else bias.detach().abs() / (x_scale * 2.0**30)
    q, scale = quantize_weight(w, 0, reduce_range=reduce_range, floor=floor)
    bias_scale = scale * x_scale
    if bias is None:
        return q, scale, None, bias_scale
    return q, scale, (bias.detach().double() / bias_scale.double()).round().to(torch.int32), bias_scale


def dequantize_weight(q: Tensor, scale: Tensor, axis: int) -> Tensor:
    """Return the float weight that (q, scale) stand for."""
    return q.to(scale.dtype) * scale.view(along(axis, q.dim()))


def along(axis: int, rank: int) -> list[int]:
    """Return the shape that lays a vector along `axis` of a tensor of `rank` dimensions."""
    return [-1 if i == axis else 1 for i in range(rank)]


def grid_of(low: float, high: float) -> Grid:
    """Return the uint8 grid that covers [low, high] and zero.

    Examples
    --------
    >>> grid_of(0.0, 127.5)
    Grid(scale=0.5, zero_point=0)
    """
    low, high = min(low, 0.0), max(high, 0.0)
    # float32 here and in every backend, so that all of them round to the same grid.
    scale = float(torch.tensor((high - low) / 255, dtype=torch.float32))
    if scale < torch.finfo(torch.float32).tiny:
        return Grid(1.0, 0)
    return Grid(scale, min(255, max(0, round(-low / scale))))


def sqnr_db(reference: Tensor, approximation: Tensor) -> float:
    """Return the signal-to-quantization-noise ratio in dB (higher is better; 6 dB is one bit).

    Identical tensors give 200, the ceiling, because JSON holds no infinity.

    Examples
    --------
    >>> round(sqnr_db(torch.tensor([1.0, 1.0]), torch.tensor([1.1, 0.9])))
    20
    """
    signal = noise = 0.0
    for exact, near in zip(_chunks(reference), _chunks(approximation), strict=True):
        signal += float(exact.double().square().sum())
        noise += float((exact.double() - near.double()).square().sum())
    return decibel(signal, noise)


def _chunks(x: Tensor) -> tuple[Tensor, ...]:
    return torch.split(x.detach().reshape(-1), _CHUNK)


def decibel(signal: float, noise: float) -> float:
    """Return ``10 log10(signal / noise)`` within +-200."""
    if noise <= 0:
        return 200.0
    return max(-200.0, min(200.0, 10 * math.log10(signal / noise))) if signal > 0 else -200.0
