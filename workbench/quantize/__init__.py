"""Quantize a captured program: schemes, calibration, report, and the gate that audits the result.

::

    config.py        what to do (a recipe record)
    entry.py         quantize_program: folder in, folder out
    base.py          the scheme seam; schemes/ one file each
    passes/          fold batch norms, make operators pure
    layers.py        find what can be quantized        activations.py  where values are rounded
    calibrate/       watch activations over data       measure.py      what each choice would lose
    ternarize.py     weights to -1, 0, 1           formats.py     write a layer in a format of its own
    assign.py        a format for every layer
    plan.py          decide                            emit.py         write a layer in int8
    ops/             the torch operators of a quantized program, with their ONNX form
    prune/           remove channels or weights before anything else
    audit.py         judge a candidate by the user's own measure
    onnx_program.py  the same for programs that came as ONNX files
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .config import QuantizeConfig, TernaryConfig
from .report import LayerRow, QuantizeReport, SkippedLayer

if TYPE_CHECKING:
    from .entry import quantize_program

__all__ = [
    "LayerRow",
    "QuantizeConfig",
    "QuantizeReport",
    "SkippedLayer",
    "TernaryConfig",
    "quantize_program",
]


def __getattr__(name: str) -> Any:
    if name == "quantize_program":
        from .entry import quantize_program

        return quantize_program
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
