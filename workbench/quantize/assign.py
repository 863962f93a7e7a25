"""Give each layer a format, and write a program whose layers have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch.export import ExportedProgram

from .base import Outcome
from .config import QuantizeConfig
from .edit import Editor
from .formats import Format, Formats
from .layers import Layer, computed_weights, find_layers
from .passes.fold_batch_norm import fold_batch_norm
from .passes.functionalize import functionalize
from .plan import select
from .report import LayerRow, SkippedLayer, worst_first
from .weights import WeightStore

_DTYPES = ("float32", "float16", "bfloat16")


@dataclass
class Assignment:
    """Which format each layer takes, and why where it is not the scheme's own.

    Parameters
    ----------
    formats
        By layer name; a layer that is not in it stays float.
    why
        Reasons by layer name.
    skipped
        Layers that were left out before any format was asked for.
    """

    formats: dict[str, Format]
    why: dict[str, str] = field(default_factory=dict)
    skipped: list[SkippedLayer] = field(default_factory=list)

    def give(self, layer: Layer, form: Format, why: str) -> None:
        """Give one layer a format for a reason."""
        self.formats[layer.name], self.why[layer.name] = form, why


def prepared(program: ExportedProgram) -> Editor:
    """Return the program ready for its layers to be rewritten: pure operators, batch norms folded."""
    editor = Editor(program)
    functionalize(editor)
    fold_batch_norm(editor)
    return editor


def assign(editor: Editor, config: QuantizeConfig, form: Format) -> Assignment:
    """Give every layer that can take it `form`; the ends and special layers what suits them.

    Raises
    ------
    NonFinite
        If a weight to quantize holds NaN or infinity; names the layer.
    """
    chosen, skipped = select(editor, find_layers(editor), config, _DTYPES)
    skipped += [
        SkippedLayer(n, "computed", 0, "the graph computes its weight") for n in computed_weights(editor)
    ]
    found = Assignment({layer.name: form for layer in chosen}, {}, skipped)
    if form == "ternary" and config.ternary.ends != "ternary":
        for layer in ends(chosen):
            found.give(layer, config.ternary.ends, "first or last")
    for layer in chosen:
        wants = found.formats[layer.name]
        better = suitable(layer, wants)
        if better != wants:
            found.give(layer, better, f"no {wants} for {_nature(layer)}")
    return found


def ends(layers: Sequence[Layer]) -> list[Layer]:
    """Return the first and the last layers; embeddings ahead of the first other layer all count as first."""
    first: list[Layer] = []
    for layer in layers:
        first.append(layer)
        if layer.kind != "embedding":
            break
    embeddings = [layer for layer in first if layer.kind == "embedding"]
    return [*(embeddings or first), *[layer for layer in layers[-1:] if layer not in (embeddings or first)]]


def suitable(layer: Layer, form: Format) -> Format:
    """Return `form`, or what a layer takes in its place."""
    half = str(layer.weights[0].node.meta["val"].dtype) != "torch.float32"
    if form == "int4" and layer.kind == "embedding":
        form = "int8"
    return "float" if form in ("int8", "int4") and half else form


def build(editor: Editor, assignment: Assignment, config: QuantizeConfig) -> Outcome:
    """Write every layer in its format; the editor is used up."""
    layers = [
        layer for layer in find_layers(editor) if assignment.formats.get(layer.name, "float") != "float"
    ]
    formats = Formats(editor, config, WeightStore(editor, reduce_range=config.reduce_range))
    skipped = [*assignment.skipped, *_left(editor, assignment), *_rest(editor)]
    rows: list[LayerRow] = []
    counted: set[str] = set()
    for layer in layers:
        names = {w.node.name for w in layer.weights}
        why = assignment.why.get(layer.name, "")
        rows.append(formats.row(layer, assignment.formats[layer.name], fresh=not counted & names, why=why))
        counted |= names
    for layer in layers:
        formats.write(layer, assignment.formats[layer.name])
    return Outcome(editor.finish(), worst_first(rows), tuple(skipped))


def _left(editor: Editor, assignment: Assignment) -> list[SkippedLayer]:
    """Return the layers whose format is float."""
    from .plan import size

    return [
        SkippedLayer(layer.name, layer.kind, size(layer), assignment.why.get(layer.name, "float"))
        for layer in find_layers(editor)
        if assignment.formats.get(layer.name) == "float"
    ]


def _rest(editor: Editor) -> list[SkippedLayer]:
    """Return one row for the parameters that are no layer's weight."""
    weights = {editor.target(w.node) for layer in find_layers(editor) for w in layer.weights}
    count = sum(n for name, n in editor.parameters().items() if name not in weights)
    why = "vectors: too few to matter, added or multiplied in float"
    return [SkippedLayer("(biases, norms and others)", "other", count, why)] if count else []


def _nature(layer: Layer) -> str:
    half = str(layer.weights[0].node.meta["val"].dtype).removeprefix("torch.")
    return (
        f"{half} weights"
        if half != "float32"
        else f"an {layer.kind}"
        if layer.kind[0] in "aeiou"
        else layer.kind
    )
