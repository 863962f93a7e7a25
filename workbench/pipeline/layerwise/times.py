"""Where the time of a pass goes, by layer: from the backend's own profiler, for torch eager from its graph."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ...program import read_program
from .taps import ITSELF

if TYPE_CHECKING:
    from ...compile.operator_times import Operator
    from .model import LayeredModel

REST = "(conversions between layers)"
_ROUNDS = 7
_ADDED = re.compile(r"(\.|/|_nchwc|_token_\d).*$")
"""What lowering and backends append to the name of a value."""


def layer_seconds(model: LayeredModel, feeds: Mapping[str, Any]) -> dict[str, float] | None:
    """Return seconds of one pass by layer, what no layer owns under :data:`REST`; None if the backend does not tell."""
    from ...compile.operator_times import operator_times

    if model.compiled is None or model.config.backend == "eager":
        return _eager(model, feeds)
    try:
        found = operator_times(model.compiled, feeds, model.config.threads)
    except InputError:  # this backend has no profiler
        return None
    seconds: dict[str, float] = {}
    for one in found:
        path = _owner(one, model)
        seconds[path] = seconds.get(path, 0.0) + one.seconds
    return seconds if set(seconds) - {REST} else None  # this one's profiler names no modules


def _owner(one: Operator, model: LayeredModel) -> str:
    """Return the layer of the first name that tells one: the operator's own, else of those akin to it."""
    for name in (one.name, *one.akin):
        if name in model.results:
            return model.results[name]
        module, slash, value = name.removeprefix("fused ").partition("/")
        if (
            slash and not module
        ):  # an activation called outside of any module, perhaps, which belongs to what is ahead
            return model.paths.get(_ADDED.sub("", value), ITSELF)
        if slash and module in model.owners:
            return model.owners[module]
    return REST


def _eager(model: LayeredModel, feeds: Mapping[str, Any]) -> dict[str, float]:
    """Time every operator of the graph as torch runs it: the median of some passes, dispatch included."""
    import torch

    from ...compile.torch_threads import torch_threads
    from ...program import read_signature
    from .taps import layered

    layers = layered(read_program(Path(model.program)))
    inputs = [torch.tensor(feeds[spec.name]) for spec in read_signature(model.program).inputs]
    taken: dict[str, list[float]] = {}

    class Timed(torch.fx.Interpreter):
        def run_node(self, n: torch.fx.Node) -> Any:
            start = time.perf_counter()
            value = super().run_node(n)
            if n.op == "call_function":
                taken.setdefault(n.name, []).append(time.perf_counter() - start)
            return value

    with torch.no_grad(), torch_threads(model.config.threads):
        for _ in range(_ROUNDS):
            Timed(layers.editor.module).run(*layers.editor.feeds(inputs), enable_io_processing=False)
    seconds: dict[str, float] = {}
    for name, rounds in taken.items():
        path = layers.paths[name]
        seconds[path] = seconds.get(path, 0.0) + statistics.median(rounds)
    return seconds
