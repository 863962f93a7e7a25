"""The verb: a program folder in, a smaller (or sparser) program's folder out."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from workbench import codec
from workbench.atomic import write_bytes
from workbench.errors import NonFinite, QuantizeError
from workbench.program import (
    ONNX_FILE,
    Examples,
    read_examples,
    read_program,
    read_signature,
    runner,
    to_arrays,
    write_program,
)

from ..assign import prepared
from ..edit import Editor
from ..entry import CAPTURE_FILE
from ..layers import Layer, find_layers
from .channels import Cut, cut_channels
from .config import PruneConfig
from .masks import apply, masks
from .report import PRUNING_FILE, PrunedLayer, PruneReport

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram

    from workbench.types import Signature

_KINDS = ("linear", "conv1d", "conv2d", "conv3d")


@dataclass(frozen=True)
class Pruned:
    """A pruned program in memory.

    Parameters
    ----------
    program
        It.
    kept
        By weight name what is not zero by choice; empty where whole channels went. Training must leave the zeros.
    report
        What was removed.
    """

    program: ExportedProgram
    kept: dict[str, Tensor]
    report: PruneReport


def prune(folder: Path, config: PruneConfig) -> Pruned:
    """Prune the program of a folder in memory; the folder is left as it is.

    Raises
    ------
    QuantizeError
        If the program came as an ONNX file, or nothing of it can be removed.
    NonFinite
        If a weight holds NaN or infinity; names the layer.
    CorruptArtifact
        If the folder's files are damaged.
    """
    if (folder / ONNX_FILE).exists():
        raise QuantizeError(
            "a program captured from an ONNX file cannot be pruned",
            where="prune",
            fix="capture the torch module",
        )
    program, signature = read_program(folder), read_signature(folder)
    editor = prepared(program)
    layers = [la for la in find_layers(editor) if la.kind in _KINDS]
    _check_finite(editor, layers)
    skipped = {la.name for la in layers if any(fnmatch(la.name, glob) for glob in config.skip)}
    kept: dict[str, Tensor] = {}
    if config.method == "channels":
        rows = [_row(cut) for cut in cut_channels(editor, config, skipped)]
    else:
        chosen = [la for la in layers if la.name not in skipped]
        kept, left = masks(editor, chosen, config)
        apply(editor, kept)
        rows = [_masked(editor, la, kept, left, skipped) for la in layers]
    if all(row.after == row.before for row in rows):
        raise QuantizeError(
            "nothing of this program can be removed: " + "; ".join(f"{r.layer}: {r.why}" for r in rows[:3]),
            where="prune",
            fix="a larger --amount, or --method magnitude",
        )
    smaller = editor.finish()
    zeros = sum(int((~mask).sum()) for mask in kept.values())
    return Pruned(
        smaller, kept, _report(config, rows, (prepared(program).finish(), smaller), zeros, folder, signature)
    )


def prune_program(folder: Path, out: Path, config: PruneConfig) -> Pruned:
    """Prune the program of a folder and write the new program's folder. Equal inputs give equal bytes.

    Parameters
    ----------
    folder
        A program folder (left as it is).
    out
        An existing empty folder to fill; ``pruning.json`` says what was removed.
    config
        What to remove.

    Raises
    ------
    QuantizeError, NonFinite, CorruptArtifact
        As :func:`prune`.
    """
    pruned = prune(folder, config)
    write_pruned(folder, pruned.program, pruned.report, out)
    return pruned


def write_pruned(folder: Path, program: ExportedProgram, report: PruneReport, out: Path) -> None:
    """Write a pruned program's folder: the captured inputs of `folder`, and what it gives for them now."""
    import torch

    signature, inputs = read_signature(folder), read_examples(folder).inputs
    outputs = to_arrays(runner(program, signature)({k: torch.from_numpy(v) for k, v in inputs.items()}))
    write_program(out, program, signature, Examples(inputs, outputs))
    write_bytes(out / PRUNING_FILE, codec.dumps(report).encode())
    if (folder / CAPTURE_FILE).exists():
        shutil.copyfile(folder / CAPTURE_FILE, out / CAPTURE_FILE)


def _check_finite(editor: Editor, layers: list[Layer]) -> None:
    for layer in layers:
        for weight in layer.weights:
            value = editor.tensor(weight.node)
            if value is not None and not value.isfinite().all():
                raise NonFinite(
                    f"a weight of {layer.name} is NaN or infinite",
                    where=layer.name,
                    fix="train or load it again",
                )


def _row(cut: Cut) -> PrunedLayer:
    return PrunedLayer(" + ".join(cut.weights), cut.before, cut.after, cut.why)


def _masked(
    editor: Editor, layer: Layer, kept: dict[str, Tensor], left: dict[str, str], skipped: set[str]
) -> PrunedLayer:
    name = editor.target(layer.weights[0].node)
    value = editor.tensor(layer.weights[0].node)
    before = 0 if value is None else value.numel()
    why = "to stay" if layer.name in skipped else left.get(layer.name, "")
    return PrunedLayer(layer.name, before, int(kept[name].sum()) if name in kept else before, why)


def _report(
    config: PruneConfig,
    rows: list[PrunedLayer],
    programs: tuple[ExportedProgram, ExportedProgram],
    zeros: int,
    folder: Path,
    signature: Signature,
) -> PruneReport:
    ranked = sorted(rows, key=lambda r: (r.after / max(r.before, 1), r.layer))
    sizes = [sum(w.numel() for w in p.state_dict.values() if w.is_floating_point()) for p in programs]
    flops = [_flops(program, signature, folder) for program in programs]
    return PruneReport(config, tuple(ranked), sizes[0], sizes[1], zeros, flops[0], flops[1])


def _flops(program: ExportedProgram, signature: Signature, folder: Path) -> int:
    """Return the operations of one call on the captured inputs."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    feeds = {k: torch.from_numpy(v) for k, v in read_examples(folder).inputs.items()}
    with FlopCounterMode(display=False) as counter:
        runner(program, signature)(feeds)
    return int(counter.get_total_flops())
