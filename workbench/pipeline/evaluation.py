"""Judge a candidate beside its baseline: the user's own measure, and latency from an interleaved run."""

from __future__ import annotations

import math
import statistics
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import EvaluationFailed
from ..types import Signature

if TYPE_CHECKING:
    from ..session import Array, Session

_ROUNDS = 31
_BUDGET_S = 3.0
_WARM_UP = 2


@dataclass(frozen=True)
class Latency:
    """Seconds of one call: medians, and the median over rounds of candidate / baseline."""

    baseline_ms: float
    candidate_ms: float
    ratio: float


def score(function: Callable[[Session], Any], session: Session) -> float:
    """Return what the user's evaluation function says of a session; higher is better.

    Raises
    ------
    EvaluationFailed
        If it raises or does not return a finite number; carries the user's traceback.
    """
    name = getattr(function, "__qualname__", type(function).__name__)
    try:
        value = function(session)
    except Exception as error:
        raise EvaluationFailed(
            f"{name} raised {type(error).__name__}: {error}",
            where=_user_line(error),
            fix=f"try {name} on the module itself: it gets a session that is called like the module",
            traceback="".join(traceback.format_exception(error)),
        ) from error
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise EvaluationFailed(
            f"{name} returned a {type(value).__name__}, not a number", where=name, fix="return a float"
        ) from error
    if not math.isfinite(number):
        raise EvaluationFailed(f"{name} returned {number}", where=name, fix="return a finite number")
    return number


def compare_latency(baseline: Session, candidate: Session, feeds: Mapping[str, Array]) -> Latency:
    """Return the latency of two sessions on the same inputs, called in turn so that noise hits both alike."""
    for _ in range(_WARM_UP):
        baseline.run(feeds)
        candidate.run(feeds)
    pairs: list[tuple[float, float]] = []
    until = time.perf_counter() + _BUDGET_S
    while len(pairs) < _ROUNDS and (len(pairs) < 3 or time.perf_counter() < until):
        order = (baseline, candidate) if len(pairs) % 2 == 0 else (candidate, baseline)
        taken = {id(session): _seconds(session, feeds) for session in order}
        pairs.append((taken[id(baseline)], taken[id(candidate)]))
    return Latency(
        statistics.median(b for b, _ in pairs) * 1e3,
        statistics.median(c for _, c in pairs) * 1e3,
        statistics.median(c / b for b, c in pairs),
    )


def one_item(signature: Signature, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Return the inputs cut to batch 1 when all share a dynamic first dimension, else as they are."""
    first = {spec.shape[0] if spec.shape else None for spec in signature.inputs}
    if len(first) == 1 and isinstance(first.pop(), str):
        return {name: array[:1] for name, array in feeds.items()}
    return dict(feeds)


def _seconds(session: Session, feeds: Mapping[str, Array]) -> float:
    start = time.perf_counter()
    session.run(feeds)
    return time.perf_counter() - start


def _user_line(error: BaseException) -> str:
    """Return the last line of the traceback that lies in the user's code, not in a library or in ours."""
    ours = str(Path(__file__).resolve().parents[1])
    frames = traceback.extract_tb(error.__traceback__)
    users = [f for f in frames if "site-packages" not in f.filename and not f.filename.startswith(ours)]
    frame = (users or list(frames))[-1]
    return f"{frame.filename}:{frame.lineno}, in {frame.name}"
