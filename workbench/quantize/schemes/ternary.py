"""``ternary``: 1.58-bit weights, int8 activations a token, the first and the last layer in int8 unless asked otherwise.

No calibration: weights are rounded by :mod:`workbench.quantize.ternarize`, activations at each call. What that
costs a trained model is large; healing (:mod:`workbench.quantize.heal`) trains it back.
"""

from __future__ import annotations

from torch.export import ExportedProgram

from ..assign import assign, build, prepared
from ..base import Outcome, Request


def apply(program: ExportedProgram, request: Request) -> Outcome:
    """Return the program with ternary weights.

    Raises
    ------
    NonFinite
        If a weight holds NaN or infinity.
    """
    editor = prepared(program)
    request.progress(0.2, "rounding weights to -1, 0 and 1")
    return build(editor, assign(editor, request.config, "ternary"), request.config)
