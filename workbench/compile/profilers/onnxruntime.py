"""onnxruntime's profiler: a trace of kernels with the shapes they saw."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from ...onnx_session import OnnxRunner
from ..backends.onnxruntime import MODEL_FILE
from ..operator_times import Operator

_WARM = 3
_FOLLOWED = 12
"""So many operators behind one are named at most."""
Weights = Mapping[str, list[tuple[list[int], int]]]
"""Shapes and bytes of a node's constants: onnxruntime packs them away and tells the trace nothing of them."""


def profile(compiled: Path, feeds: Mapping[str, Any], threads: int, repeats: int) -> list[Operator]:
    """Return the operators of ``model.onnx`` as onnxruntime runs it."""
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        begin = Path(folder) / "trace"
        runner = OnnxRunner(compiled / MODEL_FILE, threads, profile=begin)
        for _ in range(_WARM + repeats):
            runner.run(feeds)
        events = json.loads(Path(runner.session.end_profiling()).read_text())
        graph = onnx.load(Path(f"{begin}.onnx"), load_external_data=False).graph
        weights, readers = _weights(graph), _readers(graph)
    calls: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        if event["name"].endswith("_kernel_time"):
            calls.setdefault(event["name"].removesuffix("_kernel_time"), []).append(event)
    return [
        replace(_operator(name, seen, weights), akin=readers.get(name, ())) for name, seen in calls.items()
    ]


def _readers(graph: Any) -> dict[str, tuple[str, ...]]:
    """Return by node those that read what it gives, and what these give: fusions have names of their own."""
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    direct = {
        node.name: [reader.name for out in node.output for reader in readers.get(out, ())]
        for node in graph.node
    }
    found: dict[str, tuple[str, ...]] = {}
    for name, first in direct.items():
        names = list(dict.fromkeys(first))
        for each in names:  # grows meanwhile
            if len(names) < _FOLLOWED:
                names += [one for one in dict.fromkeys(direct[each]) if one not in names]
        found[name] = tuple(names[:_FOLLOWED])
    return found


def _weights(graph: Any) -> Weights:
    sizes = {
        one.name: (list(one.dims), _itemsize(one.data_type) * math.prod(one.dims))
        for one in graph.initializer
    }
    return {node.name: [sizes[name] for name in node.input if name in sizes] for node in graph.node}


def _itemsize(kind: int) -> int:
    from onnx import helper

    return int(helper.tensor_dtype_to_np_dtype(kind).itemsize)


def _operator(name: str, events: list[dict[str, Any]], weights: Weights) -> Operator:
    kept = events[_WARM:] or events
    facts, constants = kept[-1]["args"], weights.get(name, [])
    seconds = median(event["dur"] for event in kept) / 1e6
    moved = float(facts["activation_size"]) + float(facts["output_size"]) + sum(size for _, size in constants)
    kind = str(facts["op_name"])
    return Operator(name, kind, seconds, _flops(kind, facts, [shape for shape, _ in constants]), moved)


def _flops(kind: str, facts: Mapping[str, Any], constants: list[list[int]]) -> float | None:
    """Return the operations of a product or convolution, else one for every element that comes out."""
    outputs = [shape for one in facts["output_type_shape"] for shape in one.values()]
    if not outputs:
        return None
    out = float(math.prod(outputs[0]))
    if "Conv" in kind:
        weight = next((shape for shape in constants if len(shape) > 2), None)
        return None if weight is None else 2.0 * out * math.prod(weight[1:])
    if "MatMul" in kind or "Gemm" in kind:
        first = next(shape for one in facts["input_type_shape"] for shape in one.values())
        return 2.0 * out * int(first[-1])
    return out
