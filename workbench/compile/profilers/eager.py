"""torch's profiler: the operators of eager, by kind and shapes of their inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..entry import load
from ..operator_times import Operator

_WARM = 3


def profile(compiled: Path, feeds: Mapping[str, Any], threads: int, repeats: int) -> list[Operator]:
    """Return the operators of ``program.pt2`` as torch runs them."""
    import torch
    from torch.profiler import ProfilerActivity

    runner = load(compiled, threads).runner
    for _ in range(_WARM):
        runner.run(feeds)
    with torch.profiler.profile(
        activities=[ProfilerActivity.CPU], record_shapes=True, with_flops=True
    ) as seen:
        for _ in range(repeats):
            runner.run(feeds)
    return [
        Operator(
            f"{event.key} {_shapes(event)}",
            event.key.removeprefix("aten::"),
            event.self_cpu_time_total / repeats / 1e6,
            event.flops / repeats if event.flops else None,
            4.0 * sum(math.prod(s) for s in event.input_shapes if s) * event.count / repeats or None,
        )
        for event in seen.key_averages(group_by_input_shape=True)
        if event.self_cpu_time_total > 0
    ]


def _shapes(event: Any) -> str:
    return " ".join("x".join(map(str, shape)) for shape in event.input_shapes if shape)
