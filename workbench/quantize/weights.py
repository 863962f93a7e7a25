"""The int8 weights of one program: each quantized once, however many layers read it.

Linear weights are kept as [out, in] whatever way the graph holds them, so that an embedding table and the
output layer tied to it share one buffer.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.fx import Node

from .edit import Editor
from .layers import Layer, Weight
from .numeric import dequantize_weight, quantize_weight, sqnr_db


class Packed(NamedTuple):
    """One quantized weight: integers, scales, the channel axis of the integers."""

    q: Tensor
    scale: Tensor
    axis: int


class WeightStore:
    """Quantizes weights on demand and hands out their buffers."""

    def __init__(self, editor: Editor, *, reduce_range: bool) -> None:
        self._editor = editor
        self.reduce_range = reduce_range
        self._packed: dict[tuple[str, bool], Packed] = {}
        self._nodes: dict[tuple[str, bool], tuple[Node, Node]] = {}

    def packed(self, layer: Layer, weight: Weight) -> Packed:
        """Return a layer's weight as integers."""
        key = _key(layer, weight)
        if key not in self._packed:
            axis = 0 if key[1] else weight.axis
            w = self.float_weight(layer, weight)
            self._packed[key] = Packed(*quantize_weight(w, axis, reduce_range=self.reduce_range), axis)
        return self._packed[key]

    def nodes(self, layer: Layer, weight: Weight) -> tuple[Node, Node]:
        """Return the graph inputs that hold the integers and the scales."""
        key = _key(layer, weight)
        if key not in self._nodes:
            q, scale, _ = self.packed(layer, weight)
            target = self._editor.target(weight.node) + ("_t" if key[1] else "")
            self._nodes[key] = (
                self._editor.buffer(f"{target}_q", q),
                self._editor.buffer(f"{target}_scale", scale),
            )
        return self._nodes[key]

    def float_weight(self, layer: Layer, weight: Weight) -> Tensor:
        """Return the original weight, laid out as the integers are."""
        w = self._editor.tensor(weight.node)
        assert w is not None, "a layer's weight is a tensor of the program"
        return w.detach().t() if _key(layer, weight)[1] else w.detach()

    def sqnr_db(self, layer: Layer) -> float:
        """Return the SQNR of a layer's worst weight."""
        return min(
            sqnr_db(self.float_weight(layer, w), dequantize_weight(*self.packed(layer, w)))
            for w in layer.weights
        )


def _key(layer: Layer, weight: Weight) -> tuple[str, bool]:
    """Return what identifies a packed weight: its placeholder and whether it is turned round."""
    return weight.node.name, layer.kind == "linear" and weight.axis == 1
