"""Elementwise expressions that wait for their reader, so that a chain of them becomes one loop.

``gelu(x * scale + shift)`` is three operators; none of the values in between need memory. An elementwise
operator whose value has one reader stays an expression, and the reader's loop computes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import sympy

from .function import Function
from .sizes import Shape, c, same
from .tensors import C_TYPES, Tensor

LONGEST = 600  # characters of C; a longer chain is cut, so that the code stays readable
_PLACE = re.compile(r"@(\d+)@")


@dataclass(frozen=True)
class Lazy:
    """An expression over the elements of tensors.

    Parameters
    ----------
    dtype, shape
        What it gives.
    leaves
        The tensors it reads.
    code
        C, with ``@0@`` where the element of the first leaf goes.
    symbols
        Sizes that occur in the code.
    """

    dtype: str
    shape: Shape
    leaves: tuple[Tensor, ...]
    code: str
    symbols: frozenset[str] = frozenset()

    def shifted(self, by: int) -> str:
        """Return the code with its places moved, to stand behind `by` other leaves."""
        return _PLACE.sub(lambda m: f"@{int(m[1]) + by}@", self.code)


def leaf(tensor: Tensor) -> Lazy:
    """Return a tensor as an expression that reads it."""
    return Lazy(tensor.dtype, tensor.shape, (tensor,), "@0@")


def combine(dtype: str, shape: Shape, template: str, parts: Sequence[Lazy]) -> Lazy:
    """Return an expression of expressions: `template` has ``{0}`` where the first part goes."""
    leaves: list[Tensor] = []
    codes = []
    symbols: frozenset[str] = frozenset()
    for part in parts:
        codes.append(part.shifted(len(leaves)))
        leaves += part.leaves
        symbols |= part.symbols
    return Lazy(dtype, shape, tuple(leaves), template.format(*codes), symbols)


def cast(part: Lazy, dtype: str) -> Lazy:
    """Return an expression as another dtype."""
    if part.dtype == dtype:
        return part
    code = f"({part.code} != 0)" if dtype == "bool" else f"({C_TYPES[dtype]})({part.code})"
    return Lazy(dtype, part.shape, part.leaves, code, part.symbols)


def write_loop(function: Function, target: Tensor, value: Lazy) -> None:
    """Write the loop that computes an expression into a tensor of the same shape."""
    leaves = [tensor.expand(target.shape) for tensor in value.leaves]
    pointers = [
        function.read(tensor, "x" if len(leaves) == 1 else f"x{i + 1}")
        for i, tensor in enumerate(value.leaves)
    ]
    result = function.write(target)
    function.symbols |= value.symbols
    sizes, strides = _collapse(target.shape, [target.strides, *(tensor.strides for tensor in leaves)])
    _nest(function, 0, sizes, strides, result, pointers, value)


def _nest(
    function: Function, depth: int, sizes: list[sympy.Expr], strides: list[list[sympy.Expr]],
    result: str, pointers: list[str], value: Lazy,
) -> None:  # fmt: skip
    if depth < len(sizes):
        with function.loop(f"i{depth}", sizes[depth]):
            _nest(function, depth + 1, sizes, strides, result, pointers, value)
        return
    target, *sources = [_index(function, each) for each in strides]
    code = _PLACE.sub(lambda m: f"{pointers[int(m[1])]}[{sources[int(m[1])]}]", value.code)
    function.line(f"{result}[{target}] = {code};")


def _index(function: Function, strides: list[sympy.Expr]) -> str:
    terms = []
    for axis, stride in enumerate(strides):
        if stride == 1:
            terms.append(f"i{axis}")
        elif stride != 0:
            terms.append(f"i{axis} * {function.size(stride)}")
    return " + ".join(terms) or "0"


def _collapse(shape: Shape, strides: Sequence[Shape]) -> tuple[list[sympy.Expr], list[list[sympy.Expr]]]:
    """Merge axes that all tensors walk in one stride; return sizes, and strides by tensor."""
    sizes: list[sympy.Expr] = []
    merged: list[list[sympy.Expr]] = [[] for _ in strides]
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        steps = [each[axis] for each in strides]
        if sizes and all(same(m[-1], step * size) for m, step in zip(merged, steps, strict=True)):
            sizes[-1] = sympy.expand(sizes[-1] * size)
            for m, step in zip(merged, steps, strict=True):
                m[-1] = step
        else:
            sizes.append(size)
            for m, step in zip(merged, steps, strict=True):
                m.append(step)
    return sizes, merged


def size_literal(expression: sympy.Expr, dtype: str) -> Lazy:
    """Return a size as a value of a dtype."""
    symbols = frozenset(str(s) for s in expression.free_symbols)
    return Lazy(dtype, (), (), f"({C_TYPES[dtype]})({c(expression)})", symbols)


def literal(value: float | int | bool, dtype: str) -> Lazy:
    """Return a Python number as C of a dtype.

    Examples
    --------
    >>> literal(0.5, "float32").code, literal(float("-inf"), "float64").code, literal(3, "int64").code
    ('0.5f', '(-INFINITY)', 'INT64_C(3)')
    """
    if dtype.startswith("float"):
        number = float(value)
        if number != number or number in (float("inf"), float("-inf")):
            text = "NAN" if number != number else "INFINITY" if number > 0 else "(-INFINITY)"
        else:
            text = repr(number) + ("f" if dtype == "float32" else "")
        text = f"({text})" if number < 0 and not text.startswith("(") else text
    elif dtype == "int64":
        text = f"INT64_C({int(value)})" if value >= 0 else f"(-INT64_C({-int(value)}))"
    else:
        text = str(int(value)) if value >= 0 else f"({int(value)})"
    return Lazy(dtype, (), (), text)
