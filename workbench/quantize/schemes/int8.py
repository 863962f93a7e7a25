"""``int8``: 8-bit weights per channel, 8-bit activations where an integer kernel gains from them.

::

    functionalize -> fold batch norms -> find layers -> [equalize] -> [calibrate -> measure] -> decide -> build

The float program is never copied: tensors are shared until the new ones replace them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch.export import ExportedProgram
from torch.fx import Node

from workbench.errors import MissingInput

from ..activations import Points, find_points
from ..base import Outcome, Request
from ..calibrate.collect import collect
from ..calibrate.feeds import batches
from ..edit import Editor
from ..emit import How, emit_convolution, emit_linear, emit_weights, linear_values, rounded
from ..layers import Layer, computed_weights, find_layers
from ..measure import measure
from ..numeric import Grid, grid_of, quantize_conv
from ..passes.fold_batch_norm import fold_batch_norm
from ..passes.functionalize import functionalize
from ..plan import candidates, decide, select, size
from ..report import LayerRow, SkippedLayer, worst_first
from ..smooth import smooth
from ..weights import WeightStore


def apply(program: ExportedProgram, request: Request) -> Outcome:
    """Return the program in int8.

    Raises
    ------
    NonFinite, BadTensor, EmptyData
        If weights or calibration data are unusable.
    """
    editor = Editor(program)
    functionalize(editor)
    fold_batch_norm(editor)
    chosen, skipped = select(editor, find_layers(editor), request.config)
    skipped += [
        SkippedLayer(n, "computed", 0, "the graph computes its weight") for n in computed_weights(editor)
    ]
    smoothed, request = _smoothed(editor, chosen, request)
    names = {layer.name for layer in chosen}
    chosen = [layer for layer in find_layers(editor) if layer.name in names]
    store = WeightStore(editor, reduce_range=request.config.reduce_range)
    plan = _plan(editor, chosen, store, request)
    rows = [
        replace(row, why=f"smoothed, alpha {smoothed[row.layer]:g}") if row.layer in smoothed else row
        for row in _rows(chosen, plan, store)
    ]
    _build(editor, chosen, plan, store)
    return Outcome(editor.finish(), worst_first(rows), tuple(skipped), plan.batches)


def _smoothed(editor: Editor, layers: list[Layer], request: Request) -> tuple[dict[str, float], Request]:
    """Equalize activations if that is asked for; return alpha by layer, and the request with all its data."""
    config = request.config
    if not config.smooth:
        return {}, request
    if request.calibration is None:
        raise MissingInput(
            "equalization looks at the activations", where="quantize, smooth", fix="give --calibrate DATA"
        )
    request.progress(0.05, "equalizing activations")
    applied, again = smooth(editor, layers, batches(request.calibration, request.signature), config)
    return applied, replace(request, calibration=again)


@dataclass
class _Plan:
    how: dict[str, How]
    points: Points = field(default_factory=Points)
    grids: dict[Node, Grid] = field(default_factory=dict)
    sqnr_db: dict[tuple[str, How], float] = field(default_factory=dict)
    batches: int = 0


def _plan(editor: Editor, layers: list[Layer], store: WeightStore, request: Request) -> _Plan:
    """Choose each layer's way; with data, calibrate and measure first."""
    config = request.config
    calibrated = request.calibration is not None
    ways = {layer: candidates(layer, config, calibrated=calibrated) for layer in layers}
    if not calibrated:
        return _Plan({layer.name: way[0] for layer, way in ways.items()})
    points = find_points(editor.graph.nodes, [la for la in layers if la.is_conv and "static" in ways[la]])
    static = [points.source(la.x) for la in layers if "static" in ways[la]]
    feeds = batches(request.calibration, request.signature)
    seen = 0

    def report(count: int) -> None:
        nonlocal seen
        seen = count
        request.progress(0.1 + 0.6 * count / (count + 8), f"calibrating, batch {count}")

    observers, kept = collect(editor, {*points.own, *static}, feeds, config, report)
    grids = {node: grid_of(*observer.range()) for node, observer in observers.items()}
    grids |= {moved: grids[source] for moved, source in points.same.items()}
    request.progress(0.75, "measuring the error of each layer")
    sqnr = measure(editor, ways, store, grids, kept)
    how = {layer.name: decide(layer, way, sqnr) for layer, way in ways.items()}
    points = find_points(editor.graph.nodes, [la for la in layers if la.is_conv and how[la.name] == "static"])
    # An input that a convolution's grid has rounded already loses nothing more by staying on that grid.
    how |= {
        la.name: "static" for la in layers if la.kind == "linear" and "static" in ways[la] and la.x in points
    }
    return _Plan(how, points, grids, sqnr, seen)


def _rows(layers: list[Layer], plan: _Plan, store: WeightStore) -> list[LayerRow]:
    rows: list[LayerRow] = []
    counted: set[str] = set()
    for layer in layers:
        how = plan.how[layer.name]
        fresh = not counted & {w.node.name for w in layer.weights}
        counted |= {w.node.name for w in layer.weights}
        output = plan.sqnr_db.get((layer.name, how))
        rows.append(
            LayerRow(layer.name, layer.kind, how, size(layer) if fresh else 0, store.sqnr_db(layer), output)
        )
    return rows


def _build(editor: Editor, layers: list[Layer], plan: _Plan, store: WeightStore) -> None:
    """Write the decisions into the graph: the activations first, then the layers that read them."""
    moved: dict[Node, Node] = {}
    for point in [n for n in editor.graph.nodes if n in plan.points]:
        moved[point] = rounded(partial(editor.call_after, point), point, plan.grids[point])
        point.replace_all_uses_with(
            moved[point], delete_user_cb=lambda user, new=moved[point]: user is not new
        )
    for layer in layers:
        editor.replace(layer.node, _write(editor, layer, plan, store))


def _write(editor: Editor, layer: Layer, plan: _Plan, store: WeightStore) -> Any:
    call = partial(editor.call_before, layer.node)
    how = plan.how[layer.name]
    if layer.kind == "linear" and how != "weights":
        x, bias = linear_values(layer, layer.node.args)
        return emit_linear(call, how, x, store.nodes(layer, layer.weights[0]), bias, plan.grids.get(layer.x))
    if how == "static":
        return emit_convolution(call, layer, layer.node.args, _conv_buffers(editor, layer, plan, store))
    weights = [(*store.nodes(layer, w), store.packed(layer, w).axis) for w in layer.weights]
    return emit_weights(call, layer, layer.node.args, weights)


def _conv_buffers(editor: Editor, layer: Layer, plan: _Plan, store: WeightStore) -> tuple[Any, ...]:
    weight = layer.weights[0]
    x_scale = plan.grids[layer.x].scale
    packed = quantize_conv(
        store.float_weight(layer, weight), editor.tensor(layer.bias), x_scale, reduce_range=store.reduce_range
    )
    names = ("weight_q", "weight_scale", "bias_q", "bias_scale")
    return tuple(
        None if value is None else editor.buffer(f"{layer.name.replace('#', '_')}.{name}", value)
        for name, value in zip(names, packed, strict=True)
    )
