"""Which trials go on after a rung: successive halving with two objectives, score and size.

Successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943) scores every trial on a small part of the
evaluation data, keeps the best 1/eta, and scores those on eta times as much. With two objectives "best" is the rank
of non-dominated sorting (Schmucker et al. 2021, arXiv:2106.12639); here the first front always goes on, because each
of its members may be what the user wants. Equal scores on a part of the data say little, so a smaller trial that
scores the same beats only trials of its own scheme. A trial is also stopped when the gate is out of reach: its drop
on a share f of the data exceeds ``max_drop / sqrt(f)``, the error of a mean growing by that factor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Standing:
    """How a trial stands at a rung: score of the trial and of the baseline on the same data, and its bytes."""

    key: str
    score: float
    baseline: float
    size_bytes: int

    @property
    def scheme(self) -> str:
        """What comes before the slash of its key."""
        return self.key.partition("/")[0]

    @property
    def drop(self) -> float:
        """How much lower than the baseline it scores."""
        return self.baseline - self.score


def beats(one: Standing, other: Standing) -> bool:
    """Return whether one is at least as good in both, and better in one.

    Examples
    --------
    >>> beats(Standing("a", 0.9, 1, 10), Standing("b", 0.8, 1, 10))
    True
    """
    as_good = one.score >= other.score and one.size_bytes <= other.size_bytes
    return as_good and (one.score > other.score or one.size_bytes < other.size_bytes)


def front(standings: Sequence[Standing]) -> list[Standing]:
    """Return the trials that no other beats in both objectives, smallest first."""
    return _front(standings, beats)


def clearly(one: Standing, other: Standing) -> bool:
    """Return whether one beats the other by its score, or is the same scheme, as good and smaller.

    Examples
    --------
    >>> small, large = Standing("int4/eager", 1, 1, 10), Standing("int8/eager", 1, 1, 20)
    >>> beats(small, large), clearly(small, large)
    (True, False)
    """
    return beats(one, other) and (one.score > other.score or one.scheme == other.scheme)


def stops(standings: Sequence[Standing], fraction: float, max_drop: float | None, eta: int) -> dict[str, str]:
    """Return the trials that stop after a rung, each with the reason.

    Parameters
    ----------
    standings
        Every trial that was scored at this rung.
    fraction
        Share of the evaluation data it was scored on.
    max_drop
        The gate; None for none.
    eta
        The best 1/eta go on, and the first front in any case.

    Examples
    --------
    >>> a, b, c = Standing("a", 0.9, 1, 10), Standing("b", 0.8, 1, 20), Standing("c", 0.1, 1, 5)
    >>> stops([a, b, c], 0.25, 0.2, 3)
    {'c': 'its score drops by 0.9 on 25 % of the data', 'b': 'a is better and no larger'}
    """
    found: dict[str, str] = {}
    for one in standings:
        if max_drop is not None and one.drop > max_drop / math.sqrt(fraction):
            found[one.key] = f"its score drops by {one.drop:.4g} on {100 * fraction:.3g} % of the data"
    left = [one for one in standings if one.key not in found]
    room = math.ceil(len(left) / eta)
    first = _front(left, clearly)
    for one in _ranked(left)[max(room, len(first)) :]:
        better = next(other for other in first if clearly(other, one))
        how = "better and no larger" if better.score > one.score else "as good and smaller"
        found[one.key] = f"{better.key} is {how}"
    return found


def _front(standings: Sequence[Standing], beaten: Callable[[Standing, Standing], bool]) -> list[Standing]:
    kept = [one for one in standings if not any(beaten(other, one) for other in standings)]
    return sorted(kept, key=lambda one: (one.size_bytes, one.key))


def _ranked(standings: Sequence[Standing]) -> list[Standing]:
    """Return trials by non-dominated rank, the better score first within a rank."""
    left, ranked = list(standings), list[Standing]()
    while left:
        rank = _front(left, clearly)
        ranked += sorted(rank, key=lambda one: -one.score)
        left = [one for one in left if one not in rank]
    return ranked
