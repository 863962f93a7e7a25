"""Decide which layers become int8 and in which way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import torch

from workbench.errors import NonFinite

from .config import QuantizeConfig
from .edit import Editor
from .emit import How
from .layers import Layer
from .report import SkippedLayer

STATIC_LINEAR_DB = 30.0
"""A linear layer takes a calibrated grid only if its output keeps this SQNR: 0.1 % of the signal's power is
noise. A well-spread activation reaches about 40 dB on 8 bits; outlier channels (as in transformers) push a
grid that must hold for all data far below, while a grid found at each call stays near."""

STATIC_LOSS_DB = 1.0
"""... and if it is at most this much worse than the dynamic form, which costs a few passes over the activations
(a sixth of MiniLM's latency)."""

STATIC_CONV_DB = 10.0
"""Below this (a tenth of the power is noise) a convolution keeps float activations in mode ``auto``: it is
slower than the integer one but right."""


def select(
    editor: Editor,
    layers: Sequence[Layer],
    config: QuantizeConfig,
    dtypes: tuple[str, ...] = ("float32",),
) -> tuple[list[Layer], list[SkippedLayer]]:
    """Split the layers into those to quantize and those to leave, with the reason.

    `dtypes` are those of weights that the scheme takes.

    Raises
    ------
    NonFinite
        If a weight to quantize holds NaN or infinity; names the layer.
    """
    ends = {layer.name for layer in layers[: config.keep_first]}
    ends |= {layer.name for layer in layers[len(layers) - config.keep_last :]}
    chosen, skipped = [], []
    for layer in layers:
        why = _reason(editor, layer, config, ends, dtypes)
        if why:
            skipped.append(SkippedLayer(layer.name, layer.kind, size(layer), why))
        else:
            _check_finite(editor, layer)
            chosen.append(layer)
    return chosen, skipped


def _reason(
    editor: Editor, layer: Layer, config: QuantizeConfig, ends: set[str], takes: tuple[str, ...]
) -> str:
    if pattern := next((p for p in config.skip if fnmatchcase(layer.name, p)), ""):
        return f"skip {pattern!r}"
    if layer.name in ends:
        return "first or last, kept"
    weights = [editor.tensor(w.node) for w in layer.weights]
    dtypes = {str(w.dtype).removeprefix("torch.") for w in weights if w is not None} - {*takes}
    if dtypes:
        return f"{', '.join(dtypes)} weights; the integer kernels need {' or '.join(takes)}"
    if any(w is None or w.numel() == 0 for w in weights):
        return "empty weight"
    return ""


def _check_finite(editor: Editor, layer: Layer) -> None:
    for weight in layer.weights:
        w = editor.tensor(weight.node)
        if w is not None and not torch.isfinite(w).all():
            raise NonFinite(
                f"the weight of layer {layer.name!r} holds NaN or infinity",
                where=editor.target(weight.node),
                fix=f"train or load it again, or leave it out: skip={layer.name!r}",
                layer=layer.name,
            )


def size(layer: Layer) -> int:
    """Return the weight elements of a layer."""
    return sum(w.node.meta["val"].numel() for w in layer.weights)


def candidates(layer: Layer, config: QuantizeConfig, *, calibrated: bool) -> tuple[How, ...]:
    """Return the ways a layer may take, the preferred one first."""
    if config.mode == "weights":
        return ("weights",)
    if layer.kind == "linear":
        if config.mode == "auto" and calibrated:
            return "static", "dynamic"
        return ("static",) if config.mode == "static" else ("dynamic",)
    if layer.is_conv and calibrated and config.mode != "dynamic":
        return ("static", "weights") if config.mode == "auto" else ("static",)
    return ("weights",)


def decide(layer: Layer, ways: Sequence[How], sqnr_db: Mapping[tuple[str, How], float]) -> How:
    """Return the way a layer takes, given what each would lose."""
    if len(ways) == 1:
        return ways[0]
    static, other = (sqnr_db[layer.name, how] for how in ways)
    if layer.kind == "linear":
        good = static >= STATIC_LINEAR_DB and static >= other - STATIC_LOSS_DB
    else:
        good = static >= STATIC_CONV_DB
    return ways[0] if good else ways[1]
