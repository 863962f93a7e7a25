"""The quality gate: plain arithmetic over measured scores; it refuses with numbers and says what to try.

A candidate passes when ``baseline - candidate <= max_drop`` (both scored by the user's own function, higher
is better). A refusal names the layers that lose most, because leaving them in float is the first remedy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from workbench.errors import GateRefused, InputError

from .report import LayerRow, QuantizeReport

_NAMED_LAYERS = 3


@dataclass(frozen=True)
class Verdict:
    """A passed gate.

    Parameters
    ----------
    baseline, candidate
        Scores before and after.
    drop
        ``baseline - candidate``; negative where the candidate is better.
    max_drop
        The largest drop allowed.
    """

    baseline: float
    candidate: float
    drop: float
    max_drop: float


def audit(
    report: QuantizeReport,
    *,
    baseline: float,
    candidate: float,
    max_drop: float,
    latency_ratio: float | None = None,
) -> Verdict:
    """Judge a candidate.

    Parameters
    ----------
    report
        What was quantized; its worst layers and size go into a refusal.
    baseline, candidate
        Scores before and after, higher is better.
    max_drop
        The largest drop allowed, 0 or more.
    latency_ratio
        Candidate over baseline, told in a refusal where it was measured.

    Raises
    ------
    GateRefused
        If the score drops by more than `max_drop` or is not a number; ``fields`` carry the numbers.
    InputError
        If `max_drop` is negative or not finite.

    Examples
    --------
    >>> from workbench.quantize import QuantizeConfig
    >>> report = QuantizeReport(QuantizeConfig(), (), (), 100, 400, 130)
    >>> audit(report, baseline=0.90, candidate=0.89, max_drop=0.02).max_drop
    0.02
    """
    if not (math.isfinite(max_drop) and max_drop >= 0):
        raise InputError(f"max_drop is {max_drop}", where="max_drop", fix="a number from 0 up, such as 0.01")
    drop = baseline - candidate
    if drop <= max_drop:  # a score that is NaN fails here, as it should
        return Verdict(baseline, candidate, drop, max_drop)
    worst = report.worst(_NAMED_LAYERS)
    speed = "" if latency_ratio is None else f", {latency_ratio:.2f}x the latency"
    raise GateRefused(
        f"the gate refused {report.config.scheme}: score {baseline:.4f} -> {candidate:.4f}, "
        f"a drop of {drop:.4f} where {max_drop:.4f} is allowed "
        f"({report.size_ratio:.2f}x the size{speed}; {report.share:.0%} of the parameters quantized)",
        where=_lossy(worst),
        fix=_remedy(report, worst),
        baseline=baseline,
        candidate=candidate,
        drop=drop,
        max_drop=max_drop,
        size_ratio=report.size_ratio,
        latency_ratio=latency_ratio,
        worst=[{"layer": row.layer, "sqnr_db": row.sqnr_db} for row in worst],
    )


def _lossy(worst: tuple[LayerRow, ...]) -> str:
    return "worst layers: " + ", ".join(f"{r.layer} ({r.sqnr_db:.1f} dB)" for r in worst) if worst else ""


def _remedy(report: QuantizeReport, worst: tuple[LayerRow, ...]) -> str:
    """Return the cheapest change that may help: dynamic activations, floats for the worst layers, or a wider gate."""
    options = []
    if any(row.how == "static" for row in report.layers):
        options.append("--mode dynamic")
    if worst:
        options.append("--skip " + " ".join(row.layer for row in worst))
    return ", or ".join([*options, "a larger --max-drop if the loss is acceptable"])
