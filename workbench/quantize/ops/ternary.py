"""``workbench::*_ternary``: layers on weights of -1, 0 and 1, four to a byte.

The linear layer and the convolution follow BitNet b1.58 (Ma et al. 2024, arXiv 2402.17764): one int8 grid for each
token (for a convolution: for each sample), found at each call::

    s = max|x| / 127 (1 where x is all zeros)      q = clamp(round(x / s), -127, 127)        half to even
    acc = sum_k q[k] t[n, k]                        exact, fits int32
    y[n] = acc * (s * w_scale[n]) + bias[n]         float32

With G > 1 scales a row each group of K / G weights has its own sum, and they are added in float32::

    y[n] = sum_g(acc_g * w_scale[n, g]) * s + bias[n]

Embeddings, recurrent and transposed weights are only kept as ternary; their arithmetic is float.

``w_codes`` is uint8 [N, ceil(K / 4)]: code ``t + 1`` in two bits, little end first along K, padded with code 1.
``w_scale`` is float32 [N, G].
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_EXACT_FLOAT = 2**24 // 127
"""The longest sum of int8 values that float32 holds exactly."""


def pack_codes(trits: Tensor) -> Tensor:
    """Return the codes of a matrix of -1, 0, 1. trits: [N, K] -> uint8 [N, ceil(K / 4)].

    Examples
    --------
    >>> pack_codes(torch.tensor([[1, 0, -1, -1, 1]])).tolist()
    [[6, 86]]
    """
    rows, columns = trits.shape
    codes = (trits.to(torch.int8) + 1).to(torch.uint8)
    codes = torch.nn.functional.pad(codes, (0, -columns % 4), value=1).view(rows, -1, 4)
    return codes[..., 0] | codes[..., 1] << 2 | codes[..., 2] << 4 | codes[..., 3] << 6


def unpack_codes(codes: Tensor, columns: int) -> Tensor:
    """Return the matrix of -1, 0, 1 behind codes. uint8 [N, ceil(columns / 4)] -> int8 [N, columns].

    Examples
    --------
    >>> unpack_codes(torch.tensor([[6, 86]], dtype=torch.uint8), 5).tolist()
    [[1, 0, -1, -1, 1]]
    """
    shifts = torch.arange(0, 8, 2, dtype=torch.uint8, device=codes.device)
    split = (codes.unsqueeze(-1) >> shifts) & 3
    return (split.to(torch.int8) - 1).flatten(-2)[..., :columns]


@torch.library.custom_op("workbench::linear_ternary", mutates_args=())
def linear_ternary(
    x: Tensor, w_codes: Tensor, w_scale: Tensor, bias: Tensor | None, in_features: int
) -> Tensor:
    """Return the linear layer with each row of `x` on its own int8 grid. x: [..., K] float -> [..., N].

    Examples
    --------
    >>> codes, scale = pack_codes(torch.tensor([[1, 0, -1]])), torch.tensor([[0.5]])
    >>> linear_ternary(torch.tensor([127.0, 3.0, 27.0]), codes, scale, torch.tensor([1.0]), 3)
    tensor([51.])
    """
    q, scale = token_grid(x, (-1,))
    trits = unpack_codes(w_codes, in_features).to(_accumulator(in_features))
    groups = w_scale.shape[1]
    if groups == 1:
        y = (q.to(trits.dtype) @ trits.t()).float() * (scale * w_scale.view(-1))
    else:
        parts = q.to(trits.dtype).reshape(-1, groups, in_features // groups).transpose(0, 1)
        weights = trits.view(len(trits), groups, -1).permute(1, 2, 0)
        sums = torch.bmm(parts, weights).float() * w_scale.t().unsqueeze(1)
        y = sums.sum(0).reshape(*x.shape[:-1], len(trits)) * scale
    return (y if bias is None else y + bias.float()).to(x.dtype)


@torch.library.custom_op("workbench::conv_ternary", mutates_args=())
def conv_ternary(
    x: Tensor,
    w_codes: Tensor,
    w_scale: Tensor,
    bias: Tensor | None,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """Return the 1-d or 2-d convolution with each sample of `x` on its own int8 grid.

    x: [batch, I, *size] -> [batch, O, *size]; the number of sizes is that of `kernel`. w_codes holds rows of
    ``I / groups * prod(kernel)`` weights; w_scale: [O, 1].

    Examples
    --------
    >>> codes, scale = pack_codes(torch.tensor([[1, -1]])), torch.tensor([[2.0]])
    >>> conv_ternary(torch.tensor([[[127.0, 7.0, 3.0]]]), codes, scale, None, [2], [1], [0], [1], 1)
    tensor([[[240.,   8.]]])
    """
    channels = x.shape[-len(kernel) - 1] // groups
    columns = channels * math.prod(kernel)
    q, scale = token_grid(x, tuple(range(-len(kernel) - 1, 0)))
    weight = unpack_codes(w_codes, columns).to(_accumulator(columns)).view(-1, channels, *kernel)
    convolve = torch.nn.functional.conv1d if len(kernel) == 1 else torch.nn.functional.conv2d
    sums = convolve(q.to(weight.dtype), weight, None, stride, padding, dilation, groups)
    across = (-1, *[1] * len(kernel))
    y = sums.float() * (scale * w_scale.view(across))
    return (y if bias is None else y + bias.float().view(across)).to(x.dtype)


@torch.library.custom_op("workbench::embedding_ternary", mutates_args=())
def embedding_ternary(indices: Tensor, w_codes: Tensor, w_scale: Tensor, features: int) -> Tensor:
    """Return rows of a ternary table. indices: [...] -> [..., features].

    Examples
    --------
    >>> table = pack_codes(torch.tensor([[1, 0], [0, -1]]))
    >>> embedding_ternary(torch.tensor([1]), table, torch.tensor([[3.0], [0.5]]), 2)
    tensor([[0.0000, -0.5000]])
    """
    return _scaled(unpack_codes(w_codes[indices], features), w_scale[indices])


@torch.library.custom_op("workbench::unpack_ternary", mutates_args=())
def unpack_ternary(w_codes: Tensor, w_scale: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the float weight of a layer whose arithmetic is float; a row of codes is one slice of axis 0.

    Examples
    --------
    >>> unpack_ternary(pack_codes(torch.tensor([[1, -1]])), torch.tensor([[0.5]]), [1, 1, 2])
    tensor([[[ 0.5000, -0.5000]]])
    """
    return _scaled(unpack_codes(w_codes, math.prod(shape[1:])), w_scale).view(*shape)


def token_grid(x: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return `x` on symmetric int8 grids, one for each slice over `axes`, and their scales (axes kept).

    Examples
    --------
    >>> token_grid(torch.tensor([2.0, -1.0]), (0,))[0].tolist()
    [127.0, -64.0]
    """
    x = x.float()
    scale = x.abs().amax(axes, keepdim=True) / 127
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    return (x / scale).round().clamp(-127, 127), scale


def _accumulator(columns: int) -> torch.dtype:
    return torch.float32 if columns <= _EXACT_FLOAT else torch.float64


def _scaled(trits: Tensor, scale: Tensor) -> Tensor:
    size = trits.shape[-1] // scale.shape[-1]
    groups = trits.to(scale.dtype).reshape(*scale.shape, size)
    return (groups * scale.unsqueeze(-1)).flatten(-2)


@linear_ternary.register_fake
def _fake_linear(
    x: Tensor, w_codes: Tensor, w_scale: Tensor, bias: Tensor | None, in_features: int
) -> Tensor:
    return x.new_empty((*x.shape[:-1], w_codes.shape[0]))


@conv_ternary.register_fake
def _fake_conv(
    x: Tensor,
    w_codes: Tensor,
    w_scale: Tensor,
    bias: Tensor | None,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    spatial = x.shape[-len(kernel) :]
    sizes = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(spatial, kernel, stride, padding, dilation, strict=True)
    ]
    return x.new_empty((*x.shape[: -len(kernel) - 1], w_codes.shape[0], *sizes))


@embedding_ternary.register_fake
def _fake_embedding(indices: Tensor, w_codes: Tensor, w_scale: Tensor, features: int) -> Tensor:
    return w_scale.new_empty((*indices.shape, features))


@unpack_ternary.register_fake
def _fake_unpack(w_codes: Tensor, w_scale: Tensor, shape: Sequence[int]) -> Tensor:
    return w_scale.new_empty(tuple(shape))
