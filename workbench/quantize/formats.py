"""Write a layer in one of the formats a layer may have, each layer by itself.

============  ==========================================================================================
``ternary``   -1, 0, 1 in two bits; linear layers and 1-d, 2-d convolutions on int8 activations
``int4``      blocks of 32 weights or more on a grid of 15 steps, float activations; no embeddings
``int8``      a grid a channel; linear layers on uint8 activations found at each call
``float``     as it is
============  ==========================================================================================

Layers whose operator has no integer form (transposed and 3-d convolutions, recurrent layers) keep their weight in
the format and compute in floats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.fx import Node

from .config import QuantizeConfig, TernaryConfig
from .edit import Editor
from .emit import Call, emit_linear, emit_weights, linear_values, wb
from .layers import Layer, Weight
from .numeric import sqnr_db
from .ops.int4 import quantize_int4
from .ops.ternary import pack_codes
from .plan import size
from .report import LayerRow
from .ternarize import ternarize
from .weights import WeightStore

Format = Literal["ternary", "int4", "int8", "float"]
FORMATS: tuple[Format, ...] = ("ternary", "int4", "int8", "float")
"""From the smallest to the largest."""

_STRING_PADDING = {torch.ops.aten.conv1d.padding, torch.ops.aten.conv2d.padding}


class Convolution(NamedTuple):
    """The geometry of a 1-d or 2-d convolution, padding in numbers."""

    kernel: list[int]
    stride: list[int]
    padding: list[int]
    dilation: list[int]
    groups: int


class Formats:
    """Writes layers of one program, each weight quantized once a format."""

    def __init__(self, editor: Editor, config: QuantizeConfig, store: WeightStore) -> None:
        self._editor, self._config, self._store = editor, config, store
        self._packed: dict[tuple[Format, str, bool], tuple[Tensor, Tensor]] = {}
        self._nodes: dict[tuple[Format, str, bool], tuple[Node, Node]] = {}

    def write(self, layer: Layer, form: Format) -> None:
        """Replace the layer in the graph by its form; ``float`` leaves it."""
        if form == "float":
            return
        call = partial(self._editor.call_before, layer.node)
        if form == "int8":
            new = self._int8(call, layer)
        else:
            packed = [self._buffers(layer, w, form) for w in layer.weights]
            new = _emit(call, layer, form, layer.node.args, packed)
        self._editor.replace(layer.node, new)

    def row(self, layer: Layer, form: Format, *, fresh: bool = True, why: str = "") -> LayerRow:
        """Return the layer's row of the report; `fresh` unless another row counted its weights."""
        if form == "int8":
            decibel = self._store.sqnr_db(layer)
        else:
            decibel = min(
                sqnr_db(self._matrix(layer, w), self._floats(layer, w, form)) for w in layer.weights
            )
        return LayerRow(layer.name, layer.kind, form, size(layer) if fresh else 0, decibel, why=why)

    def size_bytes(self, layer: Layer, form: Format) -> int:
        """Return what the layer's weights take in a format, scales included."""
        if form == "float":
            return sum(_bytes(self._matrix(layer, w)) for w in layer.weights)
        if form == "int8":
            return sum(_bytes(*self._store.packed(layer, w)[:2]) for w in layer.weights)
        return sum(_bytes(*self._pack(layer, w, form)) for w in layer.weights)

    def _int8(self, call: Call, layer: Layer) -> Any:
        if layer.kind == "linear":
            x, bias = linear_values(layer, layer.node.args)
            return emit_linear(call, "dynamic", x, self._store.nodes(layer, layer.weights[0]), bias, None)
        weights = [(*self._store.nodes(layer, w), self._store.packed(layer, w).axis) for w in layer.weights]
        return emit_weights(call, layer, layer.node.args, weights)

    def _pack(self, layer: Layer, weight: Weight, form: Format) -> tuple[Tensor, Tensor]:
        key = _key(layer, weight, form)
        if key not in self._packed:
            w = self._matrix(layer, weight)
            if form == "int4":
                self._packed[key] = quantize_int4(w, self._config.group)
            else:
                trits, scale = ternarize(w, row_config(layer, self._config.ternary))
                self._packed[key] = pack_codes(trits), scale
        return self._packed[key]

    def _buffers(self, layer: Layer, weight: Weight, form: Format) -> tuple[Node, Node]:
        key = _key(layer, weight, form)
        if key not in self._nodes:
            codes, scale = self._pack(layer, weight, form)
            target = self._editor.target(weight.node) + ("_t" if key[2] else "")
            self._nodes[key] = (
                self._editor.buffer(f"{target}_{form}", codes),
                self._editor.buffer(f"{target}_{form}_scale", scale),
            )
        return self._nodes[key]

    def _matrix(self, layer: Layer, weight: Weight) -> Tensor:
        """Return the float weight as rows of inputs: [N, K]."""
        return self._store.float_weight(layer, weight).flatten(1)

    def _floats(self, layer: Layer, weight: Weight, form: Format) -> Tensor:
        shape = list(self._matrix(layer, weight).shape)
        unpack = wb.unpack_int4 if form == "int4" else wb.unpack_ternary
        return unpack(*self._pack(layer, weight, form), shape)  # type: ignore[no-any-return]


def convolution(layer: Layer) -> Convolution | None:
    """Return the geometry of a layer that ``conv_ternary`` computes, None for any other."""
    if layer.kind not in ("conv1d", "conv2d"):
        return None
    shape = layer.weights[0].node.meta["val"].shape
    rank = len(shape) - 2
    if layer.node.args[0].meta["val"].dim() != rank + 2:  # type: ignore[union-attr]
        return None  # one sample without a batch
    given = [*layer.node.args[3:], *[None] * 4][:4]
    stride, dilation = (_numbers(v, rank, 1) for v in (given[0], given[2]))
    kernel = [int(n) for n in shape[2:]]
    padding: Any = given[1]
    groups: Any = given[3] or 1
    if layer.node.target in _STRING_PADDING:
        spare = [d * (k - 1) if padding == "same" else 0 for k, d in zip(kernel, dilation, strict=True)]
        if any(n % 2 for n in spare):
            return None  # more on one side than on the other
        padding = [n // 2 for n in spare]
    return Convolution(kernel, stride, _numbers(padding, rank, 0), dilation, groups)


def row_config(layer: Layer, config: TernaryConfig) -> TernaryConfig:
    """Return the granularity a layer takes: a convolution that sums integers has one scale a row."""
    if config.granularity == "group" and convolution(layer) is not None:
        return TernaryConfig(config.method, "row", config.group_size, config.ends)
    return config


def _emit(call: Call, layer: Layer, form: Format, args: Sequence[Any], packed: Sequence[Any]) -> Any:
    if layer.kind == "linear":
        x, bias = linear_values(layer, args)
        op = wb.linear_int4 if form == "int4" else wb.linear_ternary
        return call(op.default, (x, *packed[0], bias, _columns(layer)))
    if layer.kind == "embedding":
        return call(
            wb.embedding_ternary.default, (args[1], *packed[0], layer.weights[0].node.meta["val"].shape[1])
        )
    if form == "ternary" and (geometry := convolution(layer)):
        return call(
            wb.conv_ternary.default, (args[0], *packed[0], args[2] if len(args) > 2 else None, *geometry)
        )
    unpack = wb.unpack_int4 if form == "int4" else wb.unpack_ternary
    floats = []
    for weight, (codes, scale) in zip(layer.weights, packed, strict=True):
        kept = weight.node.meta["val"]
        value = call(unpack.default, (codes, scale, list(kept.shape)))
        floats.append(
            value if kept.dtype == torch.float32 else call(torch.ops.aten.to.dtype, (value, kept.dtype))
        )
    if layer.kind == "recurrent":
        new: Mapping[Any, Any] = {w.node: f for w, f in zip(layer.weights, floats, strict=True)}
        parameters = [new.get(node, node) for node in args[2]]
        return call(layer.node.target, (*args[:2], parameters, *args[3:]))
    return call(layer.node.target, (args[0], floats[0], *args[2:]))


def _columns(layer: Layer) -> int:
    shape = layer.weights[0].node.meta["val"].shape
    return int(shape[0] if layer.weights[0].axis == 1 else shape[1])


def _numbers(value: Any, rank: int, default: int) -> list[int]:
    values = [default] if value is None else [value] if isinstance(value, int) else list(value)
    return [int(v) for v in (values * rank if len(values) == 1 else values)]


def _key(layer: Layer, weight: Weight, form: Format) -> tuple[Format, str, bool]:
    return form, weight.node.name, layer.kind == "linear" and weight.axis == 1


def _bytes(*tensors: Tensor) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)
