"""Measure how much each way of quantizing a layer would lose, one layer at a time.

The float program runs once more over the kept batches; at each layer its candidates get the true float
input and are compared with the true float output. The figure is therefore the layer's own error, without
what it inherits: it ranks layers and decides between static and dynamic.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from .activations import anchor
from .calibrate.collect import Watcher
from .edit import Editor
from .emit import How, emit_convolution, emit_linear, emit_weights, linear_values, rounded, run
from .layers import Layer
from .numeric import Grid, decibel, quantize_conv
from .weights import WeightStore

Grids = Mapping[Node, Grid]


def measure(
    editor: Editor,
    candidates: Mapping[Layer, tuple[How, ...]],
    store: WeightStore,
    grids: Grids,
    batches: Iterable[list[Tensor]],
) -> dict[tuple[str, How], float]:
    """Return the output SQNR in dB by (layer name, how); the batches run side by side on idle cores."""
    weights = {(w.node, la.kind, w.axis): (la, w) for la in candidates for w in la.weights}
    with ThreadPoolExecutor(_idle_cores()) as pool:
        # Every batch needs every weight: packed first, so that no two threads pack the same one.
        list(pool.map(lambda both: store.packed(*both), weights.values()))
        found = list(pool.map(lambda batch: _of_batch(editor, candidates, store, grids, batch), batches))
    signal = _added(found, 0)
    return {key: decibel(signal[key[0]], value) for key, value in _added(found, 1).items()}


def _idle_cores() -> int:
    return max(1, len(os.sched_getaffinity(0)) // torch.get_num_threads())


def _added(found: Sequence[tuple[dict[Any, float], ...]], which: int) -> dict[Any, float]:
    """Return the sums over all batches, added in the batches' order: the same on any number of cores."""
    total: dict[Any, float] = defaultdict(float)
    for batch in found:
        for key, value in batch[which].items():
            total[key] += value
    return total


def _of_batch(
    editor: Editor,
    candidates: Mapping[Layer, tuple[How, ...]],
    store: WeightStore,
    grids: Grids,
    batch: list[Tensor],
) -> tuple[dict[str, float], dict[tuple[str, How], float]]:
    """Return the signal by layer and the noise by (layer, how), as sums of squares, of one batch."""
    by_node = {layer.node: layer for layer in candidates}
    signal: dict[str, float] = {}
    noise: dict[tuple[str, How], float] = {}

    def watch(node: Node, args: tuple[Any, ...], value: Any) -> None:
        layer = by_node[node]
        reference = _through_anchor(layer, value)
        signal[layer.name] = float(reference.double().square().sum())
        for how in candidates[layer]:
            output = _candidate(editor, layer, how, args, store, grids)
            noise[layer.name, how] = float((reference.double() - output.double()).square().sum())

    Watcher(editor, list(by_node), watch).feed(batch)
    return signal, noise


def _candidate(
    editor: Editor, layer: Layer, how: How, args: tuple[Any, ...], store: WeightStore, grids: Grids
) -> Tensor:
    if how == "weights":
        weights = [store.packed(layer, w) for w in layer.weights]
        return _through_anchor(layer, emit_weights(run, layer, args, weights))
    x_grid = grids.get(layer.x)
    if layer.kind == "linear":
        q, scale, _ = store.packed(layer, layer.weights[0])
        x, bias = linear_values(layer, args)
        return emit_linear(run, how, x, (q, scale), bias, x_grid)  # type: ignore[no-any-return]
    assert x_grid is not None, "a static convolution was calibrated"
    w = store.float_weight(layer, layer.weights[0])
    packed = quantize_conv(w, editor.tensor(layer.bias), x_grid.scale, reduce_range=store.reduce_range)
    x = rounded(run, args[0], x_grid)
    output = _through_anchor(layer, emit_convolution(run, layer, [x, *args[1:]], packed))
    return rounded(run, output, grids[anchor(layer.node)])  # type: ignore[no-any-return]


def _through_anchor(layer: Layer, value: Any) -> Tensor:
    """Apply the activation that belongs to a convolution; of several outputs take the first."""
    if not isinstance(value, Tensor):
        return value[0]  # type: ignore[no-any-return]
    last = anchor(layer.node)
    if not layer.is_conv or last is layer.node:
        return value
    return last.target(value, *last.args[1:])  # type: ignore[operator, no-any-return]
