"""What a search found: the winner beside eager, every contender, and which none beats in everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...render.table import Table
from .contenders import Contender


def best_table(best: Contender, baseline: Contender, threads: int) -> Table:
    """Return the winner beside eager."""
    rows = (
        ("runs in", "torch eager", best.backend),
        ("number format", "as captured", "as captured" if best.scheme == "none" else best.scheme),
        ("latency ms", baseline.latency_ms, best.latency_ms),
        ("times eager", 1.0, best.ratio),
        ("score", baseline.score, best.score),
        ("MB", baseline.bytes / 1e6, best.bytes / 1e6),
    )
    note = f"latency: batch 1, {threads} thread(s), interleaved, median of the rounds' ratios"
    return Table(("", "eager", "picked"), rows, note=note)


def rows_table(every: Sequence[Contender]) -> Table:
    """Return all contenders, the fastest first; a star marks those that no other beats in time, score and size."""
    front = frontier(every)
    order = sorted(every, key=lambda one: (one.verdict != "picked", not one.ratio, -(one.ratio or 0)))
    rows = [
        (
            one.label,
            "*" if one.label in front else "",
            one.latency_ms,
            one.ratio,
            one.score,
            one.bytes / 1e6 if one.bytes else None,
            one.compile_s,
            one.verdict or "–",
        )
        for one in order
    ]
    columns = ("", "front", "ms", "times eager", "score", "MB", "compile s", "verdict")
    return Table(columns, rows, note="*: no other that passes is faster, smaller and as good")


def frontier(every: Sequence[Contender]) -> set[str]:
    """Return the labels of those that passed and that no other beats in latency, score and size alike."""
    passing = [one for one in every if one.verdict in ("picked", "passes", "slower than float") and one.ratio]

    def costs(one: Contender) -> tuple[float, float, float]:
        return -(one.ratio or 0), -(one.score or 0), float(one.bytes)

    return {
        one.label
        for one in passing
        if not any(
            costs(other) != costs(one) and all(a <= b for a, b in zip(costs(other), costs(one), strict=True))
            for other in passing
        )
    }


def facts(every: Sequence[Contender]) -> list[dict[str, Any]]:
    """Return the contenders as JSON-able facts."""
    front = frontier(every)
    return [
        {
            "name": one.label,
            "backend": one.backend,
            "scheme": one.scheme,
            "latency_ms": one.latency_ms,
            "speedup": one.ratio,
            "score": one.score,
            "size_bytes": one.bytes or None,
            "compile_s": one.compile_s,
            "verdict": one.verdict,
            "front": one.label in front,
        }
        for one in every
    ]
