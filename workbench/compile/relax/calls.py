"""A fused Relax function as what it does: a list of calls on buffers, their memory planned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy

from ...errors import CompileError
from ..emit.weights import ALIGNMENT

_CALLS = ("relax.call_tir", "relax.call_dps_packed")


@dataclass(eq=False)
class Buffer:
    """A tensor: an input, a constant or what a call writes."""

    shape: tuple[int, ...]
    dtype: str
    constant: Any = None
    offset: int = -1
    """Where it lies: in the arena, or among the constants."""
    last_use: int = -1

    @property
    def nbytes(self) -> int:
        """Bytes, rounded up to the alignment."""
        size = int(numpy.prod(self.shape, dtype=numpy.int64)) * numpy.dtype(self.dtype).itemsize
        return max(-(-size // ALIGNMENT), 1) * ALIGNMENT


@dataclass
class Call:
    """One call: the function and its tensors, those it writes last."""

    function: str
    external: bool
    arguments: list[Buffer]
    written: list[Buffer]


@dataclass
class Program:
    """What ``main`` does."""

    inputs: list[Buffer] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    outputs: list[Buffer] = field(default_factory=list)
    constants: list[Buffer] = field(default_factory=list)
    arena_bytes: int = 0


def program_of(module: Any) -> Program:
    """Return what the function ``main`` of a fused module does, with every buffer placed.

    Raises
    ------
    CompileError
        If a size is dynamic, or something but tensor programs is called.
    """
    found = Program()
    main, values = module["main"], dict[Any, Any]()
    for parameter in main.params:
        values[parameter] = _buffer(parameter.ty)
        found.inputs.append(values[parameter])
    for block in main.body.blocks:
        for binding in block.bindings:
            values[binding.var] = _value(binding.value, values, found)
    result = values[main.body.body]
    found.outputs = list(result) if isinstance(result, tuple) else [result]
    _place(found)
    return found


def _value(expression: Any, values: dict[Any, Any], found: Program) -> Any:
    kind = type(expression).__name__
    if kind == "Tuple":
        return tuple(_value(each, values, found) for each in expression.fields)
    if kind == "TupleGetItem":
        return _value(expression.tuple_value, values, found)[int(expression.index)]
    if kind in ("GenericConst", "Constant"):
        array = numpy.asarray(expression.value.numpy(), order="C")
        constant = Buffer(tuple(array.shape), str(array.dtype), array)
        found.constants.append(constant)
        return constant
    if kind == "Call" and getattr(expression.op, "name", "") in _CALLS:
        return _call(expression, values, found)
    if expression in values:
        return values[expression]
    name = getattr(getattr(expression, "op", None), "name", kind)
    raise CompileError(
        f"a model without a runtime cannot do {name}",
        where="tvm, runtime=none",
        fix="leave out --option runtime=none, or use the backend ternary",
    )


def _call(expression: Any, values: dict[Any, Any], found: Program) -> Any:
    callee, given = expression.args[0], _value(expression.args[1], values, found)
    arguments = list(given) if isinstance(given, tuple) else [given]
    kinds = [*expression.ty.fields] if hasattr(expression.ty, "fields") else [expression.ty]
    written = [_buffer(each) for each in kinds]
    external = not hasattr(callee, "name_hint")
    name = str(callee.global_symbol) if external else str(callee.name_hint)
    found.calls.append(Call(name, external, arguments, written))
    return tuple(written) if hasattr(expression.ty, "fields") else written[0]


def _buffer(kind: Any) -> Buffer:
    try:
        shape = tuple(int(size) for size in kind.shape)
    except (TypeError, AttributeError, ValueError) as error:
        raise CompileError(
            "a model without a runtime has one size of everything, this one has dynamic sizes",
            where="tvm, runtime=none",
            fix='capture it with dynamic="none", or use the backend ternary',
        ) from error
    return Buffer(shape, str(kind.dtype))


def _place(found: Program) -> None:
    """Give constants their offsets, and buffers places that those used up have left."""
    offset = 0
    for constant in found.constants:
        constant.offset, offset = offset, offset + constant.nbytes
    for at, call in enumerate(found.calls):
        for buffer in (*call.arguments, *call.written):
            buffer.last_use = at
    for buffer in (*found.outputs, *found.inputs):
        buffer.last_use = len(found.calls)
    live: list[Buffer] = []
    for buffer in found.inputs:
        _take(buffer, live, found)
    for at, call in enumerate(found.calls):
        live = [buffer for buffer in live if buffer.last_use >= at]
        for buffer in call.written:
            _take(buffer, live, found)


def _take(buffer: Buffer, live: list[Buffer], found: Program) -> None:
    """Place a buffer in the first gap that holds it."""
    start = 0
    for other in sorted(live, key=lambda one: one.offset):
        if start + buffer.nbytes <= other.offset:
            break
        start = max(start, other.offset + other.nbytes)
    buffer.offset = start
    live.append(buffer)
    found.arena_bytes = max(found.arena_bytes, start + buffer.nbytes)
