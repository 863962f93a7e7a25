"""Range observers: watch an activation batch by batch in bounded memory, then name its range.

* ``minmax``: everything seen.
* ``percentile``: cuts the same share of values off either end.
* ``entropy``: clips where the grid's distribution is nearest to the true one (least Kullback-Leibler
  divergence), as TensorRT's calibration does (S. Migacz, GTC 2017).

The last two keep one histogram of fixed size. When a value falls outside, the histogram doubles its reach by
merging neighbouring bins, so earlier counts stay exact and the result does not depend on how the data are cut.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import QuantizeConfig

BINS = 4096
"""Bins of a histogram, half of them below zero: 32 KiB an activation."""

Floats = NDArray[np.float64]


class Observer(Protocol):
    """Watches one activation."""

    def watch(self, x: Tensor) -> None:
        """Take one batch into account."""

    def range(self) -> tuple[float, float]:
        """Return (low, high) of the grid to use."""


def observer_for(config: QuantizeConfig) -> Observer:
    """Return a new observer of the configured kind."""
    if config.calibrator == "percentile":
        return Percentile(config.percentile)
    return Entropy() if config.calibrator == "entropy" else MinMax()


class MinMax:
    """The smallest and the largest value seen."""

    def __init__(self) -> None:
        self.low, self.high = np.inf, -np.inf

    def watch(self, x: Tensor) -> None:
        """Take one batch into account."""
        low, high = torch.aminmax(x)
        self.low, self.high = min(self.low, float(low)), max(self.high, float(high))

    def range(self) -> tuple[float, float]:
        """Return what was seen."""
        return self.low, self.high


class Histogram(MinMax):
    """Counts over ``[-reach, reach)``, where reach doubles as needed."""

    def __init__(self) -> None:
        super().__init__()
        self.reach = 0.0
        self.counts: Floats = np.zeros(BINS)

    def watch(self, x: Tensor) -> None:
        """Take one batch into account."""
        super().watch(x)
        peak = max(-self.low, self.high)
        if peak == 0:
            # Nothing but zeros so far: any reach will do, they lie at its middle.
            self.counts[BINS // 2] += x.numel()
            return
        if self.reach == 0:
            # A power of two, so that the reach does not depend on which batch came first.
            self.reach = float(2.0 ** np.ceil(np.log2(peak)))
        while self.reach < peak:
            self._double()
        self.counts += torch.histc(x.float(), BINS, -self.reach, self.reach).double().numpy()

    def _double(self) -> None:
        merged = self.counts.reshape(-1, 2).sum(axis=1)
        self.counts = np.pad(merged, BINS // 4)
        self.reach *= 2

    def edges(self) -> Floats:
        """Return the ``BINS + 1`` bin edges."""
        return np.linspace(-self.reach, self.reach, BINS + 1)


class Percentile(Histogram):
    """Leaves ``(100 - percentile) / 2`` percent of the values outside at either end."""

    def __init__(self, percentile: float) -> None:
        super().__init__()
        self.tail = (100 - percentile) / 200

    def range(self) -> tuple[float, float]:
        """Return the range, never wider than what was seen."""
        if self.reach == 0:
            return self.low, self.high
        share = np.cumsum(self.counts) / self.counts.sum()
        edges = self.edges()
        low = edges[np.searchsorted(share, self.tail, side="right")]
        high = edges[np.searchsorted(share, 1 - self.tail, side="left") + 1]
        return max(float(low), self.low), min(float(high), self.high)


class Entropy(Histogram):
    """Clips symmetrically about zero at the threshold of least divergence."""

    def range(self) -> tuple[float, float]:
        """Return the range, never wider than what was seen."""
        if self.reach == 0:
            return self.low, self.high
        half = BINS // 2
        magnitudes = self.counts[half:] + self.counts[:half][::-1]
        # Every grid holds zero exactly, so the zeros behind a ReLU cost nothing; counted, they would drown the rest.
        magnitudes[0] = magnitudes[1]
        levels = 255 if self.low >= 0 or self.high <= 0 else 128
        threshold = best_threshold(magnitudes, levels) * self.reach / half
        return max(self.low, -threshold), min(self.high, threshold)


def best_threshold(counts: Floats, levels: int) -> int:
    """Return how many bins to keep so that `levels` steps over them lose the least information.

    Values beyond are clipped: their counts join the last kept bin of the true distribution, not of the
    quantized one, which is what makes clipping cost something.
    """
    filled = int(np.max(np.nonzero(counts)[0])) + 1
    if filled <= levels:
        return filled
    stride = max(1, (filled - levels) // 128)
    candidates = [*range(levels, filled, stride), filled]
    best: int = min(candidates, key=lambda kept: (_divergence(counts, kept, levels), kept))
    return best


def _divergence(counts: Floats, kept: int, levels: int) -> float:
    inside = counts[:kept]
    true = inside.copy()
    true[-1] += counts[kept:].sum()
    step = np.minimum(np.arange(kept) * levels // kept, levels - 1)
    occupied = inside > 0
    mass = np.bincount(step, inside, levels)
    width = np.bincount(step, occupied, levels)
    quantized = np.where(occupied, (mass / np.maximum(width, 1))[step], 0.0)
    p, q = true / true.sum(), quantized / max(quantized.sum(), 1)
    # A bin only the clipped values fill has no mass on the grid; a small share instead of an infinite cost.
    q = np.maximum(q, 1e-9)
    where = p > 0
    return float(np.sum(p[where] * np.log(p[where] / q[where])))
