"""How far a compiled output may be from eager's.

An output passes when ``max|compiled - eager| <= absolute + relative * peak``, peak = ``max|eager|``. The peak,
not each element, scales it: a sum that cancels to almost zero carries the rounding of its large terms.

=============  =========  =========  ==============================================================
program        absolute   relative   why
=============  =========  =========  ==============================================================
float64        1e-10      1e-9       another order of summation
float32        1e-5       1e-3       another order of summation, fused and approximated functions
float16        1e-3       2e-2       as above with 11 bits; kernels differ in where they round
bfloat16       1e-2       1e-1       as above with 8 bits, inside a program; no output has it
quantized      1e-3       1e-1       a value near a step's edge rounds to either side, in every layer
  on grids     1e-3       1.5e-1     linear layers on calibrated grids: one step for all rows is a coarse one
  rounded      1e-3       1.5e-1     float activations of packed weights, which the backend rounds itself
=============  =========  =========  ==============================================================

The figures of quantized programs are those of MiniLM (36 linear layers, OpenVINO), the largest differences there
were, over the peak: 0.066 with grids found at each call, 0.032 with 4-bit weights, 0.12 on calibrated grids (0.037 with
their inputs equalized), 0.11 where OpenVINO rounds the activations of 8-bit weights, a grid for each row.

Integer and boolean outputs (an argmax, a mask) have no distance: the share of elements that differ must be
at most ``relative``.
"""

from __future__ import annotations

from dataclasses import dataclass

from .base import backend
from .config import CompileConfig
from .source import Source


@dataclass(frozen=True)
class Tolerance:
    """Largest error an output may have: ``absolute + relative * peak``."""

    absolute: float
    relative: float


_BY_DTYPE = {
    "float64": Tolerance(1e-10, 1e-9),
    "float32": Tolerance(1e-5, 1e-3),
    "float16": Tolerance(1e-3, 2e-2),
    "bfloat16": Tolerance(1e-2, 1e-1),
}
_QUANTIZED, _ON_GRIDS = Tolerance(1e-3, 1e-1), Tolerance(1e-3, 1.5e-1)


def tolerance_for(source: Source, config: CompileConfig) -> Tolerance:
    """Return what the caller asked for, else the default of the program's coarsest dtype."""
    dtypes = {spec.dtype for spec in (*source.signature.inputs, *source.signature.outputs)} | half_weights(
        source
    )
    order = ("bfloat16", "float16", "float32", "float64")
    default = next((_BY_DTYPE[d] for d in order if d in dtypes), None)
    if default is None:
        default = _BY_DTYPE["float32"]
    chosen = backend(config.backend)
    if source.quantized or getattr(chosen, "quantizes", False):
        coarse = source.on_grids or (source.weights_only and getattr(chosen, "rounds_activations", False))
        default = _ON_GRIDS if coarse else _QUANTIZED
    elif any(config.options.get(name, "none") != "none" for name in getattr(chosen, "quantizing", ())):
        default = (
            _ON_GRIDS  # the reference is the float program: what quantizing costs is part of the difference
        )
    return Tolerance(
        default.absolute if config.tolerance_abs is None else config.tolerance_abs,
        default.relative if config.tolerance_rel is None else config.tolerance_rel,
    )


def half_weights(source: Source) -> set[str]:
    """Return in which half precision weights of a torch program are, if any."""
    if source.is_onnx:
        return set()
    dtypes = {str(value.dtype).removeprefix("torch.") for value in source.program.state_dict.values()}
    return dtypes & {"float16", "bfloat16"}
