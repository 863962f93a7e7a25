"""How much of a program's output is lost when one layer alone takes a format.

The figure is the squared error of all float outputs over their power, on a few batches: it moves smoothly where a
score such as accuracy jumps, and costs one forward pass a layer and format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.export import ExportedProgram

from workbench.program import runner
from workbench.types import Signature

from ..assign import Assignment, build, prepared, suitable
from ..config import QuantizeConfig
from ..formats import FORMATS, Format, Formats
from ..layers import Layer, find_layers
from ..weights import WeightStore
from .search import Option

BATCHES = 4
"""Batches the error is measured on."""


def options(
    program: ExportedProgram,
    layers: Sequence[Layer],
    signature: Signature,
    config: QuantizeConfig,
    batches: Iterable[list[Tensor]],
    tell: Callable[[float, str], None],
) -> dict[str, list[Option]]:
    """Return what each layer may become, with its bytes and the loss of the program's output."""
    kept = [batch for batch, _ in zip(batches, range(BATCHES), strict=False)]
    reference = _outputs(program, signature, kept)
    sizes = _sizes(program, config)
    found: dict[str, list[Option]] = {}
    for done, layer in enumerate(layers):
        tell(done / len(layers), f"how sensitive is {layer.name}")
        forms = [form for form in FORMATS if suitable(layer, form) == form]
        found[layer.name] = []
        for form in forms:
            loss = 0.0
            if form != "float":
                variant = build(prepared(program), Assignment({layer.name: form}), config).program
                loss = _loss(reference, _outputs(variant, signature, kept))
            found[layer.name].append(Option(form, sizes[layer.name, form], loss))
    return found


def _sizes(program: ExportedProgram, config: QuantizeConfig) -> dict[tuple[str, Format], int]:
    editor = prepared(program)
    formats = Formats(editor, config, WeightStore(editor, reduce_range=config.reduce_range))
    return {
        (layer.name, form): formats.size_bytes(layer, form)
        for layer in find_layers(editor)
        for form in FORMATS
        if suitable(layer, form) == form
    }


def _outputs(program: ExportedProgram, signature: Signature, batches: Sequence[list[Tensor]]) -> list[Tensor]:
    run = runner(program, signature)
    names = [spec.name for spec in signature.inputs]
    outputs = [run(dict(zip(names, batch, strict=True))) for batch in batches]
    return [value for each in outputs for value in each.values() if value.is_floating_point()]


def _loss(reference: Sequence[Tensor], given: Sequence[Tensor]) -> float:
    noise = sum(
        float((r.double() - g.double()).square().sum()) for r, g in zip(reference, given, strict=True)
    )
    power = sum(float(r.double().square().sum()) for r in reference)
    loss = noise / max(power, 1e-30)
    return loss if torch.isfinite(torch.tensor(loss)) else float("inf")
