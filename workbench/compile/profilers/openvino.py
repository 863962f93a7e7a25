"""OpenVINO's performance counters: the time of every node of the last pass; shapes are not told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..backends.openvino import OpenVinoRunner
from ..operator_times import Operator

_WARM = 3


def profile(compiled: Path, feeds: Mapping[str, Any], threads: int, repeats: int) -> list[Operator]:
    """Return the nodes of ``model.xml`` as OpenVINO runs it."""
    runner = OpenVinoRunner(compiled, threads, profile=True)
    seconds: dict[tuple[str, str], float] = {}
    for number in range(_WARM + repeats):
        runner.run(feeds)
        if number < _WARM:
            continue
        for node in runner.request.profiling_info:
            if taken := node.real_time.total_seconds():
                key = (node.node_name, node.node_type)
                seconds[key] = seconds.get(key, 0.0) + taken
    return [Operator(name, kind, total / repeats) for (name, kind), total in seconds.items()]
