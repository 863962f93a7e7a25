"""From float weights to -1, 0, 1 and scales: the three known ways.

============  =======================================  ==========================================================
method        threshold                                scale
============  =======================================  ==========================================================
``absmean``   half the scale                           mean|w|                 BitNet b1.58, arXiv 2402.17764
``twn``       0.7 mean|w|                              mean|w| above it        ternary weight networks, 1605.04711
``optimal``   half the scale, and the scale anew       mean|w| above it        until neither moves
============  =======================================  ==========================================================

For given trits the best scale in the least-squares sense is the mean of |w| where they are not zero; for a given
scale the best threshold is half of it. ``optimal`` starts from ``twn`` and takes these two steps in turns: the
error never rises.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .config import TernaryConfig

_ROUNDS = 10
_TWN_THRESHOLD = 0.7


def ternarize(w: Tensor, config: TernaryConfig) -> tuple[Tensor, Tensor]:
    """Return (trits int8 [N, K], scale float32 [N, G]) of a float matrix.

    Parameters
    ----------
    w
        [N, K] of any float type, finite.
    config
        The method and the granularity; G is 1 unless K is a multiple of more than one group.

    Examples
    --------
    >>> w = torch.tensor([[0.9, -1.1, 0.1, 0.0], [0.0, 0.0, 0.0, 0.0]])
    >>> trits, scale = ternarize(w, TernaryConfig())
    >>> trits.tolist(), scale.tolist()
    ([[1, -1, 0, 0], [0, 0, 0, 0]], [[1.0], [1.0]])
    """
    rows, columns = w.shape
    groups = groups_of(columns, config)
    slices = w.detach().float().contiguous().view(1 if config.granularity == "tensor" else rows * groups, -1)
    size = slices.abs()
    scale, threshold = _fit(size, config)
    # A subnormal scale has lost its digits (and may flush to zero): such weights are zero for all purposes.
    empty = scale < torch.finfo(torch.float32).tiny
    trits = torch.where((size > threshold) & ~empty, slices.sign(), 0).to(torch.int8)
    scale = torch.where(empty, 1.0, scale)
    scale = scale.expand(rows, 1) if config.granularity == "tensor" else scale.view(rows, groups)
    return trits.view(rows, columns), scale.contiguous()


def groups_of(columns: int, config: TernaryConfig) -> int:
    """Return the scales a row of this length gets."""
    grouped = config.granularity == "group" and columns % config.group_size == 0
    return columns // config.group_size if grouped else 1


def _fit(size: Tensor, config: TernaryConfig) -> tuple[Tensor, Tensor]:
    """Return scale and threshold [slices, 1] for magnitudes [slices, length]."""
    mean = size.mean(1, keepdim=True)
    if config.method == "absmean":
        return mean, mean / 2
    threshold = _TWN_THRESHOLD * mean
    scale = _mean_above(size, threshold)
    if config.method == "optimal":
        for _ in range(_ROUNDS):
            before, scale = scale, _mean_above(size, scale / 2)
            threshold = before / 2
            if torch.equal(before, scale):
                break
    return scale, threshold


def _mean_above(size: Tensor, threshold: Tensor) -> Tensor:
    above = size > threshold
    return (size * above).sum(1, keepdim=True) / above.sum(1, keepdim=True).clamp(min=1)
