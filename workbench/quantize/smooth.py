"""SmoothQuant's equalization: large channels of an activation are divided, the weights that read them multiplied.

    s[j] = max|x[:, j]| ** alpha / max|w[:, j]| ** (1 - alpha)          x w^T = (x / s) (w s)^T

A linear layer's product stays what it was, but a grid for the whole activation no longer has to reach as far as its
largest channel (Xiao et al. 2022, arXiv:2211.10438). The division goes into the layer norm ahead, if nothing else
reads that; else one multiplication stays in the graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice

import torch
from torch import Tensor
from torch.fx import Node

from .calibrate.collect import Watcher
from .config import QuantizeConfig
from .edit import Editor
from .emit import How, emit_linear, run
from .layers import Layer
from .numeric import grid_of, quantize_weight, sqnr_db

AUTO = "auto"
_BATCHES = 16
"""Batches the channels are looked at in; these are held in memory."""
_ROWS = 64
"""Rows of each batch that alphas are compared on."""
_ALPHAS = (0.5, 0.65, 0.8)
_GAIN_DB = 0.5
"""An equalization that gains less is left out: it costs a multiplication where it cannot be folded."""

aten = torch.ops.aten


@dataclass
class _Seen:
    """What was seen of one activation: the peak of every channel, and some rows."""

    peak: Tensor | None = None
    rows: list[Tensor] = field(default_factory=list)

    def watch(self, x: Tensor) -> None:
        flat = x.detach().reshape(-1, x.shape[-1]).float()
        if not flat.numel():
            return
        peak = flat.abs().amax(0)
        self.peak = peak if self.peak is None else torch.maximum(self.peak, peak)
        self.rows.append(flat[:: max(1, len(flat) // _ROWS)][:_ROWS].clone())


def smooth(
    editor: Editor, layers: Sequence[Layer], batches: Iterator[list[Tensor]], config: QuantizeConfig
) -> tuple[dict[str, float], Iterable[list[Tensor]]]:
    """Equalize the inputs of linear layers, in place.

    Parameters
    ----------
    editor, layers
        The float program and the layers that will be quantized.
    batches
        Calibration batches; the first 16 are looked at.
    config
        ``smooth`` is alpha, or ``auto``: for each activation the alpha that loses least, or none.

    Returns
    -------
    tuple
        Alpha by the name of the layer it was applied to, and all batches again.
    """
    first = list(islice(batches, _BATCHES))
    groups = _groups(layers)
    seen = {x: _Seen() for x in groups}
    watcher = Watcher(editor, list(seen), lambda node, args, value: seen[node].watch(value))
    for batch in first:
        watcher.feed(batch)
    applied: dict[str, float] = {}
    how: How = "static" if config.mode == "static" else "dynamic"
    for x, readers in groups.items():
        if (found := _best(editor, readers, seen[x], config, how)) is not None:
            alpha, scale = found
            _apply(editor, x, readers, scale)
            applied |= {layer.name: alpha for layer in readers}
    return applied, chain(first, batches)


def _groups(layers: Sequence[Layer]) -> dict[Node, list[Layer]]:
    """Return the linear layers by what they read; those whose weight has another reader cannot be scaled."""
    found: dict[Node, list[Layer]] = {}
    for layer in layers:
        if layer.kind == "linear" and len(layer.weights[0].node.users) == 1:
            found.setdefault(layer.x, []).append(layer)
    return found


def _best(
    editor: Editor, readers: Sequence[Layer], seen: _Seen, config: QuantizeConfig, how: How
) -> tuple[float, Tensor] | None:
    if seen.peak is None:
        return None
    weights = [_rows(editor, layer) for layer in readers]
    peak = torch.stack([w.abs().amax(0) for w in weights]).amax(0)
    if config.smooth != AUTO:
        return float(config.smooth), _scale(seen.peak, peak, float(config.smooth))
    rows = torch.cat(seen.rows)
    loss = partial(_decibel, rows, weights, how, config.reduce_range)
    plain = loss(torch.ones_like(peak))
    tried = [(loss(s), alpha, s) for alpha in _ALPHAS for s in [_scale(seen.peak, peak, alpha)]]
    best, alpha, scale = max(tried, key=lambda one: one[0])
    return (alpha, scale) if best >= plain + _GAIN_DB else None


def _scale(x: Tensor, w: Tensor, alpha: float) -> Tensor:
    """Return s, 1 for channels that are never used; its mean exponent is taken out, so that x keeps its size."""
    least = 1e-5
    used = (x > least) & (w > least)
    scale = torch.where(used, x.clamp(min=least) ** alpha / w.clamp(min=least) ** (1 - alpha), 1.0)
    mean = scale[used].log().mean().exp() if used.any() else torch.tensor(1.0)
    return torch.where(used, scale / mean, 1.0)


def _decibel(rows: Tensor, weights: Sequence[Tensor], how: How, reduce_range: bool, scale: Tensor) -> float:
    """Return the worst SQNR of the layers' products with the activation divided by `scale`."""
    x = rows / scale
    grid = grid_of(float(x.min()), float(x.max()))
    return min(
        sqnr_db(
            torch.nn.functional.linear(rows, w),
            emit_linear(run, how, x, quantize_weight(w * scale, 0, reduce_range=reduce_range), None, grid),
        )
        for w in weights
    )


def _rows(editor: Editor, layer: Layer) -> Tensor:
    """Return the weight as [out, in]."""
    w = editor.tensor(layer.weights[0].node)
    assert w is not None, "a layer's weight is a tensor of the program"
    return (w if layer.weights[0].axis == 0 else w.t()).detach().float()


def _apply(editor: Editor, x: Node, readers: Sequence[Layer], scale: Tensor) -> None:
    for layer in readers:
        weight = layer.weights[0]
        w = editor.tensor(weight.node)
        assert w is not None, "a layer's weight is a tensor of the program"
        along = scale if weight.axis == 0 else scale.unsqueeze(1)
        editor.set_tensor(weight.node, (w.detach().float() * along).to(w.dtype))
    if _fold(editor, x, readers, scale):
        return
    factor = editor.buffer(f"{readers[0].name.replace('#', '_')}.smooth", (1 / scale).to(x.meta["val"].dtype))
    divided = editor.call_after(x, aten.mul.Tensor, (x, factor))
    for layer in readers:
        layer.node.replace_input_with(x, divided)


def _fold(editor: Editor, x: Node, readers: Sequence[Layer], scale: Tensor) -> bool:
    """Divide in the layer norm that made `x`, if only these layers read it and its vectors are its own."""
    if x.target is not aten.layer_norm.default or set(x.users) != {layer.node for layer in readers}:
        return False
    vectors = [node for node in x.args[2:4] if isinstance(node, Node)]
    values = [editor.tensor(node) for node in vectors]
    alone = all(v is not None and len(n.users) == 1 for n, v in zip(vectors, values, strict=True))
    if not alone or len(x.args) < 3 or not isinstance(x.args[2], Node) or values[0].dim() != 1:  # type: ignore[union-attr]
        return False
    for node, value in zip(vectors, values, strict=True):
        assert value is not None, "looked at above"
        editor.set_tensor(node, (value.detach().float() / scale).to(value.dtype))
    return True
