"""Fold an inference batch norm into the convolution or linear layer before it.

    y = gamma * (W x + b - mean) / sqrt(var + eps) + beta
      = (W * k) x + (b - mean) * k + beta        k = gamma / sqrt(var + eps), one a channel

Exact up to float rounding; afterwards the weight ranges are the ones that are really multiplied.
"""

from __future__ import annotations

import torch
from torch.fx import Node

from ..edit import Editor
from ..layers import Layer, find_layers
from ..numeric import along

aten = torch.ops.aten


def fold_batch_norm(editor: Editor) -> None:
    """Fold every batch norm that is the only reader of a layer whose weight nothing else reads."""
    for layer in find_layers(editor):
        users = list(layer.node.users)
        if len(users) == 1 and users[0].target == aten.batch_norm.default and _may_fold(layer):
            _fold(editor, layer, users[0])


def _may_fold(layer: Layer) -> bool:
    weight = layer.weights[0]
    return (
        layer.kind not in ("embedding", "recurrent")
        and len(weight.node.users) == 1
        and not weight.transposed
        # The norm works on axis 1: the layer's channels lie there unless it has more (or fewer) axes than its weight.
        and layer.node.meta["val"].dim() == weight.node.meta["val"].dim()
    )


def _fold(editor: Editor, layer: Layer, norm: Node) -> None:
    weight = layer.weights[0]
    w, bias = editor.tensor(weight.node), editor.tensor(layer.bias)
    gamma, beta, mean, var = (editor.tensor(a) for a in norm.args[1:5])
    training, eps = norm.args[5], float(norm.args[7])  # type: ignore[arg-type]
    if training or w is None or mean is None or var is None or (bias is None and layer.bias is not None):
        return
    if var.numel() != w.shape[weight.axis]:
        return  # a grouped transposed convolution keeps fewer channels on that axis than it puts out
    k = torch.rsqrt(var.double() + eps) * (1 if gamma is None else gamma.detach().double())
    shift = ((0 if bias is None else bias.detach().double()) - mean.double()) * k
    shift = shift if beta is None else shift + beta.detach().double()
    editor.set_tensor(weight.node, (w.detach() * k.view(along(weight.axis, w.dim()))).to(w.dtype))
    name = editor.target(weight.node).removesuffix("weight") + "bias_folded"
    bias_node = editor.buffer(name, shift.to(w.dtype))
    layer.node.args = (*layer.node.args[:2], bias_node, *layer.node.args[3:])
    editor.replace(norm, layer.node)
