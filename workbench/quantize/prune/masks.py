"""Choose single weights that become zero; shapes stay, and no backend here skips a zero.

*magnitude*: the smallest weights of all prunable layers together (Han et al. 2015, arXiv 1506.02626).
*N:M*: of every `of` consecutive inputs of an output the `keep` largest stay (Mishra et al. 2021, arXiv 2104.08378).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..edit import Editor
from ..layers import Layer
from .config import PruneConfig


def masks(
    editor: Editor, layers: list[Layer], config: PruneConfig
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return by weight name what stays (bool, shaped as the weight), and by layer name why it was left alone."""
    weights: dict[str, tuple[Layer, Tensor]] = {}
    for layer in layers:
        for weight in layer.weights:
            value = editor.tensor(weight.node)
            if value is not None:
                weights[editor.target(weight.node)] = layer, value.detach()
    if config.method == "magnitude":
        return _magnitude({name: value for name, (_, value) in weights.items()}, config.amount), {}
    found: dict[str, Tensor] = {}
    left: dict[str, str] = {}
    for name, (layer, value) in weights.items():
        mask = pattern(value, _input_axis(layer), config.keep, config.of)
        if mask is None:
            left[layer.name] = f"its inputs are no multiple of {config.of}"
        else:
            found[name] = mask
    return found, left


def pattern(weight: Tensor, axis: int, keep: int, of: int) -> Tensor | None:
    """Return what N:M keeps along an axis, None where its length is no multiple of `of`.

    Examples
    --------
    >>> pattern(torch.tensor([[1.0, -4.0, 2.0, 3.0]]), 1, 2, 4)
    tensor([[False,  True, False,  True]])
    """
    length = weight.shape[axis]
    if length % of:
        return None
    blocks = weight.movedim(axis, -1).abs()
    shape = blocks.shape
    blocks = blocks.reshape(-1, of)
    best = torch.sort(blocks, descending=True, stable=True).indices[:, :keep]
    kept = torch.zeros_like(blocks, dtype=torch.bool).scatter_(1, best, True)
    return kept.reshape(shape).movedim(-1, axis)


def apply(editor: Editor, kept: dict[str, Tensor]) -> None:
    """Set to zero what does not stay."""
    for node in editor.graph.nodes:
        value = editor.tensor(node)
        if value is not None and (mask := kept.get(editor.target(node))) is not None:
            editor.set_tensor(node, value.detach() * mask)


def _magnitude(weights: dict[str, Tensor], amount: float) -> dict[str, Tensor]:
    if not weights:
        return {}
    sizes = torch.cat([value.abs().flatten() for value in weights.values()])
    gone = round(amount * sizes.numel())
    if gone == 0:
        return {}
    threshold = torch.kthvalue(sizes, gone).values
    return {name: value.abs() > threshold for name, value in weights.items()}


def _input_axis(layer: Layer) -> int:
    return 1 - layer.weights[0].axis if layer.kind == "linear" else 1
