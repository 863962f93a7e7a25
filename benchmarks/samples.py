"""Samples by dotted key, one a round, and what is reported of them.

A figure is the median over rounds; a ratio is the median of the rounds' own ratios, so that a machine that is
busy for one round slows both sides of it. The spread is the 10th and the 90th percentile.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


class Samples:
    """Collects numbers by key.

    Examples
    --------
    >>> samples = Samples()
    >>> for ours, theirs in ((2.0, 4.0), (30.0, 50.0), (2.0, 4.0)):
    ...     samples.add("ours.ms", ours)
    ...     samples.add("theirs.ms", theirs)
    >>> samples.ratio("ours.over_theirs", "ours.ms", "theirs.ms")
    >>> samples.summary()["metrics"]
    {'ours.ms': 2.0, 'theirs.ms': 4.0, 'ours.over_theirs': 0.5}
    """

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}
        self.faults: list[str] = []
        """What must not happen and did, whatever was measured: the command ends with 1 then."""

    def add(self, key: str, value: float) -> None:
        """Add the next round's number.

        Raises
        ------
        ValueError
            If it is not a finite number.
        """
        if not np.isfinite(value):
            raise ValueError(f"{key} measured {value}")
        self._values.setdefault(key, []).append(float(value))

    def values(self, key: str) -> list[float]:
        """Return a key's numbers so far."""
        return list(self._values.get(key, ()))

    def all_values(self) -> dict[str, list[float]]:
        """Return every key's numbers: what :meth:`extend` takes."""
        return {key: list(values) for key, values in self._values.items()}

    def extend(self, values: Mapping[str, Iterable[float]]) -> None:
        """Add numbers by key, such as those of a run that was cut off."""
        for key, numbers in values.items():
            for number in numbers:
                self.add(key, number)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def median(self, key: str) -> float:
        """Return the median of a key's samples."""
        return statistics.median(self._values[key])

    def ratio(self, key: str, over: str, under: str) -> None:
        """Add a key whose samples are the ratios, round by round, of two keys.

        Raises
        ------
        ValueError
            If the two were not measured in the same rounds.
        """
        pairs = zip(self._values[over], self._values[under], strict=True)
        for numerator, denominator in pairs:
            self.add(key, numerator / denominator)

    def summary(self) -> dict[str, Any]:
        """Return ``repeats``, ``metrics`` (medians) and ``spread`` (10th and 90th percentiles) by key."""
        return {
            "repeats": max((len(values) for values in self._values.values()), default=0),
            "metrics": {key: _short(statistics.median(values)) for key, values in self._values.items()},
            "spread": {
                key: [_short(value) for value in np.quantile(values, [0.1, 0.9])]
                for key, values in self._values.items()
            },
        }


def _short(value: float) -> float:
    """Return 5 significant digits: more would be noise."""
    return float(f"{value:.5g}")
