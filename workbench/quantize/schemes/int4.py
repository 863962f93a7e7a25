"""``int4``: 4-bit weights in blocks of ``group``, 32 or more, float activations; embeddings in int8."""

from __future__ import annotations

from torch.export import ExportedProgram

from ..assign import assign, build, prepared
from ..base import Outcome, Request


def apply(program: ExportedProgram, request: Request) -> Outcome:
    """Return the program with 4-bit weights.

    Raises
    ------
    NonFinite
        If a weight holds NaN or infinity.
    """
    editor = prepared(program)
    request.progress(0.2, "rounding weights to 4 bits")
    return build(editor, assign(editor, request.config, "int4"), request.config)
