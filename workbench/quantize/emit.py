"""How each kind of layer is written in int8, once for the graph and for the measuring beforehand.

:func:`emit` builds a layer from operator calls through a `call` it is given. With
:meth:`Editor.call_before` the calls become nodes; with :func:`run` they are computed at once on tensors.
What is measured is therefore what is built.

===========  ==========================================  =========================================
how          layers                                      activations
===========  ==========================================  =========================================
``dynamic``  linear                                      uint8, on the range of each call
``static``   linear, convolutions                        uint8, on a calibrated grid
``weights``  all others; convolutions without data       float
===========  ==========================================  =========================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch.fx import Node

from . import ops  # noqa: F401 - registers the operators
from .layers import Layer
from .numeric import Grid

How = Literal["dynamic", "static", "weights"]
Call = Callable[[Any, tuple[Any, ...]], Any]
wb = torch.ops.workbench


def run(op: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Compute a call at once."""
    return op(*args)


def emit_linear(call: Call, how: How, x: Any, weight: Sequence[Any], bias: Any, grid: Grid | None) -> Any:
    """Write a linear layer; `weight` is (q, scale), `grid` is that of `x` when static."""
    if how == "static":
        assert grid is not None, "a static layer was calibrated"
        return call(wb.linear_static.default, (x, grid.scale, grid.zero_point, *weight, bias))
    return call(wb.linear_dynamic.default, (x, *weight, bias))


def emit_convolution(call: Call, layer: Layer, args: Sequence[Any], weight: Sequence[Any]) -> Any:
    """Write an integer convolution; ``args[0]`` is rounded already, `weight` is (q, scale, bias, bias scale)."""
    q, scale, bias, bias_scale = weight
    w = call(wb.dequantize.default, (q, scale, 0, True))
    b = None if bias is None else call(wb.dequantize.default, (bias, bias_scale, 0, True))
    return call(layer.node.target, (args[0], w, b, *args[3:]))


def emit_weights(call: Call, layer: Layer, args: Sequence[Any], weights: Sequence[Sequence[Any]]) -> Any:
    """Write a layer with int8 storage and float arithmetic; `weights` are (q, scale, axis)."""
    if layer.kind == "embedding":
        q, scale, _ = weights[0]
        return call(wb.embedding_int8.default, (args[1], q, scale))
    floats = [call(wb.dequantize.default, (q, scale, axis, False)) for q, scale, axis in weights]
    if layer.kind == "linear":  # the weight is laid out as [out, in], whatever product it was
        x, bias = linear_values(layer, args)
        return call(torch.ops.aten.linear.default, (x, floats[0], bias))
    if layer.kind == "recurrent":
        return call(layer.node.target, (*args[:2], _substituted(layer, args[2], floats), *args[3:]))
    return call(layer.node.target, (args[0], floats[0], *args[2:]))


def linear_values(layer: Layer, args: Sequence[Any]) -> tuple[Any, Any]:
    """Return a linear layer's `x` and bias among its operator's arguments, or among the values of these."""
    pairs = [(n, v) for n, v in zip(layer.node.args, args, strict=True) if isinstance(n, Node)]
    bias = next((v for n, v in pairs if n is layer.bias), None)
    return next(v for n, v in pairs if n is not layer.bias), bias


def _substituted(layer: Layer, parameters: Sequence[Any], floats: Sequence[Any]) -> list[Any]:
    """Put the dequantized matrices where the float ones stood among a recurrent layer's parameters."""
    new = {w.node: value for w, value in zip(layer.weights, floats, strict=True)}
    originals: Sequence[Any] = layer.node.args[2]  # type: ignore[assignment]
    return [new.get(node, value) for node, value in zip(originals, parameters, strict=True)]


def rounded(call: Call, x: Any, grid: Grid) -> Any:
    """Round an activation to a grid."""
    return call(wb.quantize_dequantize.default, (x, grid.scale, grid.zero_point))
