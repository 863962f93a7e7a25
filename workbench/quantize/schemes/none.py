"""``none``: the reference scheme. The program passes through, so that all that follows can be tested alone."""

from __future__ import annotations

from torch.export import ExportedProgram

from ..base import Outcome, Request


def apply(program: ExportedProgram, request: Request) -> Outcome:
    """Return the program as it is."""
    return Outcome(program)
