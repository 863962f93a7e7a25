"""OpenVINO's performance counters: the time of every node of the last pass; shapes are not told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from ..backends.openvino import OpenVinoRunner
from ..operator_times import Operator

_WARM = 3


def profile(compiled: Path, feeds: Mapping[str, Any], threads: int, repeats: int) -> list[Operator]:
    """Return the nodes of ``model.xml`` as OpenVINO runs it."""
    runner = OpenVinoRunner(compiled, threads, profile=True)
    seconds: dict[tuple[str, str], list[float]] = {}
    for number in range(_WARM + repeats):
        runner.run(feeds)
        if number < _WARM:
            continue
        for node in runner.request.profiling_info:
            taken = node.real_time.total_seconds()
            seconds.setdefault((node.node_name, node.node_type), []).append(taken)
    fused = _fused(runner.model)
    return [
        Operator(name, kind, median(taken), akin=fused.get(name, ()))
        for (name, kind), taken in seconds.items()
        if any(taken)
    ]


def _fused(model: Any) -> dict[str, tuple[str, ...]]:
    """Return by node of the graph as it runs the operators that were fused into it, the last one first."""
    found: dict[str, tuple[str, ...]] = {}
    for node in model.get_runtime_model().get_ops():
        names = str(node.get_rt_info()["originalLayersNames"].value).split(",")
        found[node.get_friendly_name()] = tuple(reversed([name for name in names if name]))
    return found
