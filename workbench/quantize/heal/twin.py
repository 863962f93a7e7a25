"""A program as a module that trains: its weights and activations are rounded on the way forward, not on the way back.

The straight-through estimator (Bengio et al. 2013, arXiv 1308.3432): the forward pass computes with the rounded
value, the gradient passes as if nothing had been rounded. The weights that are trained stay float; what the
forward pass makes of them is what quantizing them afterwards gives.

Layers that become int8 train in float: what int8 costs is below what training moves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, update_wrapper
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Node

from ..assign import Assignment, prepared
from ..config import TernaryConfig
from ..edit import Editor
from ..formats import convolution, row_config
from ..layers import Layer, Weight, find_layers
from ..ops.int4 import BLOCK, quantize_int4, unpack_int4
from ..ops.ternary import token_grid
from ..ternarize import ternarize

_FOLDED = "bias_folded"


class Twin:
    """A program being trained.

    Parameters
    ----------
    program
        The float program; left as it is.
    assignment
        The format of each layer; None trains it in float.
    config
        How weights become ternary.
    kept
        By weight name what must stay zero (False) whatever is trained.
    group
        Weights that share a scale in ``int4``.
    """

    def __init__(
        self,
        program: ExportedProgram,
        assignment: Assignment | None,
        config: TernaryConfig,
        kept: Mapping[str, Tensor] | None = None,
        group: int = BLOCK,
    ) -> None:
        self._kept = kept or {}
        self._editor = prepared(program)
        self.weights = _trainable(self._editor)
        for layer in find_layers(self._editor) if assignment else ():
            assert assignment is not None
            _round(layer, assignment.formats.get(layer.name, "float"), config, group)
        self._places = [n for n in self._editor.graph.nodes if n.op == "placeholder"]

    def __call__(self, inputs: list[Tensor]) -> list[Tensor]:
        """Return the outputs, in the signature's order."""
        weights = self.values()
        values = [
            weights.get(self._target(node), value).to(value.dtype)
            for node, value in zip(self._places, self._editor.feeds(inputs), strict=True)
        ]
        results = torch.fx.Interpreter(self._editor.module).run(*values, enable_io_processing=False)
        return [r for r in results if isinstance(r, Tensor)]

    def values(self) -> dict[str, Tensor]:
        """Return the trained weights by name, zero where they must be."""
        return {name: w * self._kept[name] if name in self._kept else w for name, w in self.weights.items()}

    def _target(self, node: Node) -> str:
        return self._editor.target(node) if self._editor.tensor(node) is not None else ""


def trained(program: ExportedProgram, weights: Mapping[str, Tensor]) -> ExportedProgram:
    """Return the float program with trained weights; its batch norms are folded."""
    editor = prepared(program)
    for node in editor.graph.nodes:
        if editor.tensor(node) is not None and editor.target(node) in weights:
            found = weights[editor.target(node)].detach()
            editor.set_tensor(node, found.to(node.meta["val"].dtype).clone())
    return editor.finish()


def _trainable(editor: Editor) -> dict[str, Tensor]:
    """Return fresh leaves for the parameters by name, those of half precision as float32; tied ones share a leaf.

    Steps of training are too small for halves to add up, and the squares of their gradients vanish.
    """
    leaves: dict[int, Tensor] = {}
    found: dict[str, Tensor] = {}
    for node in editor.graph.nodes:
        value = editor.tensor(node)
        if value is None or not node.users or not value.is_floating_point():
            continue
        target = editor.target(node)
        if isinstance(value, torch.nn.Parameter) or target.endswith(_FOLDED):
            fresh = (
                torch.empty_like(value, dtype=_wide(value.dtype)).copy_(value.detach()).requires_grad_(True)
            )
            found[target] = leaves.setdefault(value.data_ptr(), fresh)
    return found


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _round(layer: Layer, form: str, config: TernaryConfig, group: int) -> None:
    """Round a layer's weights, and the activations that its operator rounds."""
    if form not in ("ternary", "int4"):
        return
    graph = layer.node.graph
    # A graph names its calls after the function.
    how: Callable[..., Tensor] = update_wrapper(partial(_round_int4, group=group), _round_int4)
    if form == "ternary":
        how = update_wrapper(partial(_round_ternary, config=row_config(layer, config)), _round_ternary)
    with graph.inserting_before(layer.node):
        for weight in layer.weights:
            flip = layer.kind == "linear" and weight.axis == 1
            _substitute(layer.node, weight, graph.call_function(how, (weight.node, flip)))
        axes = [-1] if layer.kind == "linear" else None
        if (geometry := convolution(layer)) is not None:
            axes = list(range(1, len(geometry.kernel) + 2))
        if form == "ternary" and axes:
            x = _activation(layer)
            layer.node.replace_input_with(x, graph.call_function(_round_activation, (x, axes)))


def _substitute(node: Node, weight: Weight, rounded: Node) -> None:
    """Let a layer read the rounded weight, through a transpose of its own where there is one."""
    if not weight.transposed:
        node.replace_input_with(weight.node, rounded)
        return
    turn = next(n for n in node.all_input_nodes if weight.node in n.all_input_nodes)
    copy = node.graph.node_copy(turn, lambda n: rounded if n is weight.node else n)
    node.replace_input_with(turn, copy)


def _activation(layer: Layer) -> Node:
    return next(a for a in layer.node.args if isinstance(a, Node) and a is not layer.bias)


class _Straight(torch.autograd.Function):
    """Forward the second value, pass the gradient to the first."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rounded: Tensor) -> Tensor:
        return rounded.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def _straight(x: Tensor, rounded: Tensor) -> Tensor:
    return _Straight.apply(x, rounded)  # type: ignore[no-any-return, no-untyped-call]


def _round_ternary(w: Tensor, flip: bool, config: TernaryConfig) -> Tensor:
    matrix = w.detach().t() if flip else w.detach().flatten(1)
    trits, scale = ternarize(matrix, config)
    floats = (trits.view(*scale.shape, -1) * scale.unsqueeze(-1)).view(matrix.shape)
    return _straight(w, floats.t() if flip else floats.view(w.shape))


def _round_int4(w: Tensor, flip: bool, group: int) -> Tensor:
    matrix = w.detach().t() if flip else w.detach().flatten(1)
    floats = unpack_int4(*quantize_int4(matrix, group), list(matrix.shape))
    return _straight(w, floats.t() if flip else floats.view(w.shape))


def _round_activation(x: Tensor, axes: list[int]) -> Tensor:
    q, scale = token_grid(x.detach(), tuple(axes))
    return _straight(x, q * scale)
