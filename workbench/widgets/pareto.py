"""Score over cost: which artifacts are worth looking at, because no other is both better and cheaper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..render.lines import Axes, lines
from .live import LiveView

COSTS = {"size_bytes": "bytes", "latency_ms": "ms"}


def pareto(compared: Sequence[Mapping[str, Any]]) -> LiveView | None:
    """Return artifacts as points, score over size; None when fewer than two were scored.

    Parameters
    ----------
    compared
        Mappings with ``name``, ``score``, ``size_bytes`` and ``latency_ms`` (None where not measured).

    Examples
    --------
    >>> a = {"name": "m", "score": 0.97, "size_bytes": 90, "latency_ms": 2.0}
    >>> b = {"name": "m:int8", "score": 0.96, "size_bytes": 25, "latency_ms": 0.5}
    >>> [point["name"] for point in frontier([a, b], "size_bytes")]
    ['m:int8', 'm']
    """
    points = [dict(one) for one in compared if one["score"] is not None]
    if len(points) < 2:
        return None
    best = {point["name"] for point in frontier(points, "size_bytes")}
    series: dict[str, list[tuple[float, float]]] = {"on the frontier": [], "beaten": []}
    for point in points:
        kind = "on the frontier" if point["name"] in best else "beaten"
        series[kind].append((point["size_bytes"] / 1e6, point["score"]))
    picture = lines(series, Axes("MB", "score", joined=False), "score over size")
    return LiveView("pareto", {"points": points, "costs": COSTS}, picture)


def frontier(points: Sequence[Mapping[str, Any]], cost: str) -> list[Mapping[str, Any]]:
    """Return the points that no other beats in both cost and score, cheapest first."""
    best, kept = float("-inf"), []
    for point in sorted(points, key=lambda p: (p[cost], -p["score"])):
        if point["score"] > best:
            best = point["score"]
            kept.append(point)
    return kept
