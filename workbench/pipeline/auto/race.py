"""Time contenders in turns, so that a disturbance hits all of them; the slow ones leave early."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

from .contenders import Contender

_LEAST_S = 0.004
"""Seconds of calls a turn: short models are called many times."""
_FIRST, _MOST = 5, 25
_STAY = (1.3, 1.06)
"""How much slower than the best one may be after :data:`_FIRST` rounds, and after twice as many."""

Lap = Callable[[Contender], float | None]
"""Seconds of one call of a contender now; None if it cannot be timed any more."""


def race(field: Sequence[Contender], baseline: Contender, lap: Lap, budget_s: float) -> None:
    """Fill in latencies and ratios of all contenders.

    Parameters
    ----------
    field
        Who runs; `baseline` runs in every round and is what ratios compare with.
    lap
        Times one turn.
    budget_s
        When to stop; :data:`_FIRST` rounds are always run, twice as many for those close to the best.
    """
    still = [one for one in field if one is not baseline]
    until = time.monotonic() + budget_s
    for number in range(_MOST):
        if number == _FIRST or number == 2 * _FIRST:
            best = max((one.ratio for one in still if one.ratio), default=0.0)
            margin = _STAY[number != _FIRST]
            still = [one for one in still if one.ratio and one.ratio * margin >= best]
        if number >= _FIRST and (time.monotonic() > until or len(still) < 1):
            break
        _round(still, baseline, lap, number)
    for one in field:
        if one.ratio and baseline.latency_ms:  # one clock for all: some ran in the early rounds only
            one.latency_ms = baseline.latency_ms / one.ratio


def _round(still: Sequence[Contender], baseline: Contender, lap: Lap, number: int) -> None:
    """Time each once, the first one another each time."""
    turn = number % max(len(still), 1)
    eager = lap(baseline)
    for one in (*still[turn:], *still[:turn]):
        seconds = lap(one)
        if seconds is None or eager is None:
            continue
        one.rounds.append(eager / seconds)
        one.ratio = statistics.median(one.rounds)
    if eager is not None:
        baseline.rounds.append(eager)
        baseline.latency_ms, baseline.ratio = statistics.median(baseline.rounds) * 1e3, 1.0
