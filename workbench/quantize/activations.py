"""Where a convolutional network is rounded to uint8 so that onnxruntime stays in integers end to end.

::

    x ─Q─ conv ─ relu ─Q─┬─ conv ─Q─ add ─ relu ─Q─ maxpool ─Q'─ conv ...
                         └───────────┘

* a convolution: its input, and its output *after* the activation that onnxruntime fuses into it;
* an operator with an integer kernel of its own (add, cat, average pool) whose inputs are all rounded: its output;
* an operator that only moves values (max pool, reshape, ...): its output, on the grid of its input (Q').
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import torch
from torch.fx import Node

from .layers import Layer

aten = torch.ops.aten
_FUSED = {
    aten.relu.default,
    aten.relu6.default,
    aten.hardtanh.default,
    aten.clamp.default,
    aten.clamp_min.default,
}
_JOINS = {aten.add.Tensor, aten.cat.default, aten.avg_pool2d.default, aten.adaptive_avg_pool2d.default}
_MOVES = {
    aten.max_pool1d.default,
    aten.max_pool2d.default,
    aten.max_pool3d.default,
    aten.dropout.default,
    aten.flatten.using_ints,
    aten.view.default,
    aten.reshape.default,
    aten.permute.default,
    aten.transpose.int,
    aten.squeeze.dim,
    aten.unsqueeze.default,
}


@dataclass
class Points:
    """The activations to round.

    Parameters
    ----------
    own
        Those with a grid of their own, in graph order.
    same
        Those that take over another's grid: moved value -> where its grid comes from.
    """

    own: list[Node] = field(default_factory=list)
    same: dict[Node, Node] = field(default_factory=dict)

    def source(self, node: Node) -> Node:
        """Return the activation whose grid `node` uses."""
        return self.same.get(node, node)

    def __contains__(self, node: object) -> bool:
        return node in self.same or node in self.own


def find_points(nodes: Collection[Node], convolutions: Collection[Layer]) -> Points:
    """Return the activations to round so that `convolutions` run on integers."""
    points = Points()
    outputs = {layer.node for layer in convolutions}
    inputs = {layer.x for layer in convolutions}
    for node in nodes:
        if node in outputs or (node.target in _JOINS and _all_rounded(node, points)):
            points.own.append(anchor(node))
        elif node.target in _MOVES and node.args[0] in points:
            points.same[node] = points.source(node.args[0])  # type: ignore[arg-type]
        elif node in inputs and node not in points:
            points.own.append(node)
    return points


def anchor(node: Node) -> Node:
    """Return the fused activation behind a node, or the node itself."""
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].target in _FUSED else node


def _all_rounded(node: Node, points: Points) -> bool:
    tensors = node.all_input_nodes
    return (
        bool(tensors)
        and all(t in points for t in tensors)
        and (node.target != aten.add.Tensor or len(tensors) == 2)
    )
