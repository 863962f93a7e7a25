"""Find the layers of a captured graph that int8 can hold, by operator.

===================  =========================================================================
kind                 operators
===================  =========================================================================
``linear``           linear; addmm, mm and matmul with a parameter (also transposed)
``conv1d`` ...       conv1d, conv2d, conv3d and their string-padding forms
``conv_transpose``   conv_transpose1d, 2d, 3d
``embedding``        embedding
``recurrent``        lstm, gru and plain rnn: every weight matrix of every layer and direction
===================  =========================================================================

A layer is named after its weight (``encoder.0.q`` for ``encoder.0.q.weight``): the name a user sees in
``named_modules()`` and writes into ``skip``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch.fx import Node

from .edit import Editor

Kind = Literal["linear", "conv1d", "conv2d", "conv3d", "conv_transpose", "embedding", "recurrent"]
aten = torch.ops.aten


@dataclass(frozen=True)
class Weight:
    """A weight as a layer reads it: the placeholder, the output-channel axis, and whether a transpose lies between."""

    node: Node
    axis: int
    transposed: bool = False


@dataclass(frozen=True)
class Layer:
    """One quantizable operator. `x` is the activation it reads (the indices, for an embedding)."""

    name: str
    kind: Kind
    node: Node
    x: Node
    weights: tuple[Weight, ...]
    bias: Node | None = None

    @property
    def is_conv(self) -> bool:
        """Whether it is a convolution with an integer kernel."""
        return self.kind in ("conv1d", "conv2d", "conv3d")


def find_layers(editor: Editor) -> list[Layer]:
    """Return the quantizable layers in graph order, each with a name of its own."""
    layers: list[Layer] = []
    seen: dict[str, int] = {}
    for node in editor.graph.nodes:
        match = _MATCHERS.get(node.target) if node.op == "call_function" else None
        parts = match(editor, node) if match else None
        if parts is None:
            continue
        kind, x, weights, bias = parts
        name = _layer_name(editor, weights[0].node, kind)
        seen[name] = seen.get(name, 0) + 1
        name = name if seen[name] == 1 else f"{name}#{seen[name]}"
        layers.append(Layer(name, kind, node, x, weights, bias))
    return layers


def computed_weights(editor: Editor) -> list[str]:
    """Return the names of layers whose weight is worked out by the graph itself (weight norm, say)."""
    found = []
    for node in editor.graph.nodes:
        if (
            node.op == "call_function"
            and node.target in _FIXED_WEIGHT
            and _weight(editor, node.args[1], 0) is None
        ):
            stack = list(node.meta.get("nn_module_stack", {}).values())
            found.append(stack[-1][0] if stack and stack[-1][0] else node.name)
    return found


_Parts = tuple[Kind, Node, tuple[Weight, ...], Node | None]


def _linear(editor: Editor, node: Node) -> _Parts | None:
    x, w, bias = _arguments(node, 3)
    return _parts("linear", x, _weight(editor, w, 0), bias)


def _addmm(editor: Editor, node: Node) -> _Parts | None:
    bias, x, w = _arguments(node, 3)
    plain = not node.kwargs and editor.tensor(bias) is not None and _rank(bias) == 1
    return _parts("linear", x, _weight(editor, w, 1), bias) if plain else None


def _matmul(editor: Editor, node: Node) -> _Parts | None:
    x, w = _arguments(node, 2)
    weight = _weight(editor, w, 1)
    return _parts("linear", x, weight, None) if weight and _rank(w) == 2 and _rank(x) >= 2 else None


def _conv(kind: Kind, axis: int) -> Callable[[Editor, Node], _Parts | None]:
    def match(editor: Editor, node: Node) -> _Parts | None:
        x, w, bias = _arguments(node, 3)
        return _parts(kind, x, _weight(editor, w, axis), bias)

    return match


def _embedding(editor: Editor, node: Node) -> _Parts | None:
    w, ids = _arguments(node, 2)
    weight = _weight(editor, w, 0)
    return _parts("embedding", ids, weight if weight and not weight.transposed else None, None)


def _recurrent(editor: Editor, node: Node) -> _Parts | None:
    x, parameters = node.args[0], node.args[2]
    if not isinstance(parameters, Sequence):
        return None  # the packed-sequence form: (data, batch_sizes, hx, params, ...)
    matrices = [p for p in parameters if isinstance(p, Node) and _rank(p) == 2]
    weights = [_weight(editor, p, 0) for p in matrices]
    if not weights or any(w is None or w.transposed for w in weights):
        return None
    return "recurrent", cast(Node, x), tuple(w for w in weights if w), None


def _parts(kind: Kind, x: Any, weight: Weight | None, bias: Any) -> _Parts | None:
    return (kind, x, (weight,), bias) if weight and isinstance(x, Node) else None


def _arguments(node: Node, count: int) -> list[Any]:
    """Positional arguments, padded with None: exported graphs normalize keywords away."""
    return [*node.args, *[None] * count][:count]


def _weight(editor: Editor, node: Any, axis: int) -> Weight | None:
    """Look through a transpose for the parameter behind a weight argument."""
    if editor.tensor(node) is not None:
        return Weight(node, axis)
    if (
        isinstance(node, Node)
        and node.op == "call_function"
        and _swaps(node)
        and editor.tensor(node.args[0]) is not None
    ):
        return Weight(cast(Node, node.args[0]), 1 - axis, transposed=True)
    return None


def _swaps(node: Node) -> bool:
    """Whether the node exchanges the two axes of a matrix."""
    if _rank(node) != 2:
        return False
    if node.target in (aten.t.default, aten.numpy_T.default):
        return True
    if node.target == aten.permute.default:
        return [d % 2 for d in cast(list[int], node.args[1])] == [1, 0]
    return node.target == aten.transpose.int and cast(int, node.args[1]) % 2 != cast(int, node.args[2]) % 2


def _rank(node: Any) -> int:
    return int(node.meta["val"].dim())


def _layer_name(editor: Editor, weight: Node, kind: Kind) -> str:
    target = editor.target(weight)
    if kind == "recurrent":
        return target.rpartition(".")[0] or target
    return target.removesuffix(".weight")


_MATCHERS: dict[Any, Callable[[Editor, Node], _Parts | None]] = {
    aten.linear.default: _linear,
    aten.addmm.default: _addmm,
    aten.mm.default: _matmul,
    aten.matmul.default: _matmul,
    aten.conv1d.default: _conv("conv1d", 0),
    aten.conv2d.default: _conv("conv2d", 0),
    aten.conv3d.default: _conv("conv3d", 0),
    aten.conv1d.padding: _conv("conv1d", 0),
    aten.conv2d.padding: _conv("conv2d", 0),
    aten.conv3d.padding: _conv("conv3d", 0),
    aten.conv_transpose1d.default: _conv("conv_transpose", 1),
    aten.conv_transpose2d.input: _conv("conv_transpose", 1),
    aten.conv_transpose3d.input: _conv("conv_transpose", 1),
    aten.embedding.default: _embedding,
    aten.lstm.input: _recurrent,
    aten.gru.input: _recurrent,
    aten.rnn_tanh.input: _recurrent,
    aten.rnn_relu.input: _recurrent,
}
_FIXED_WEIGHT = {t for t, m in _MATCHERS.items() if m not in (_addmm, _matmul, _embedding, _recurrent)}
