"""The way through: from a program folder to functions and the plan of their memory."""

from __future__ import annotations

from ..source import Source
from .emitter import Emitter
from .halves import widen_values
from .lower import lower
from .plan import Plan, plan
from .sizes import symbol_of


def emit(source: Source, target: str) -> tuple[Emitter, Plan]:
    """Return the functions of a model and where their buffers lie.

    Raises
    ------
    CompileError
        If an operator cannot be written.
    """
    program = lower(source.program)
    widen_values(program)
    emitter = Emitter(program, source.signature, target)
    emitter.run()
    captured = {
        str(symbol_of(dim)): size
        for spec in source.signature.inputs
        for dim, size in zip(spec.shape, source.examples.inputs[spec.name].shape, strict=True)
        if isinstance(dim, str)
    }
    return emitter, plan(emitter.functions, captured)
