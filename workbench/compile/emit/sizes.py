"""Sizes of tensors as expressions, in sympy while compiling and in C afterwards.

torch names a dynamic size ``s77``; the generated code calls it what the signature does, ``batch``. Everything
that follows from it (strides, offsets, output sizes, the arena) is arithmetic over these names, computed by
the generated code from the sizes of the inputs it is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import sympy
from torch.export import ExportedProgram

from ...errors import CompileError
from ...types import Signature

Shape = tuple[sympy.Expr, ...]
_BINARY = {"FloorDiv": "floordiv", "CleanDiv": "floordiv", "Mod": "floormod", "PythonMod": "floormod"}


class Sizes:
    """The dynamic sizes of a program.

    Parameters
    ----------
    program
        Its placeholders carry torch's symbols.
    signature
        Gives each of them its name.
    inputs
        The placeholders a caller fills, in the signature's order.
    """

    def __init__(self, program: ExportedProgram, signature: Signature, inputs: Iterable[Any]) -> None:
        self._names: dict[sympy.Symbol, sympy.Symbol] = {}
        self.limits: dict[str, int] = {}
        for node, spec in zip(inputs, signature.inputs, strict=True):
            for size, dim in zip(node.meta["val"].shape, spec.shape, strict=True):
                symbol = _expression(size)
                if isinstance(symbol, sympy.Symbol) and isinstance(dim, str):
                    self._names.setdefault(symbol, symbol_of(dim))
                elif isinstance(dim, str) and not symbol.free_symbols:
                    raise CompileError(
                        f"the size {dim!r} became {symbol} when the program was decomposed",
                        where=f"input {spec.name!r}",
                        fix='capture it again with dynamic="none" or without this dimension, or use the'
                        " backend onnxruntime",
                    )
        for symbol, bounds in program.range_constraints.items():
            if symbol in self._names and bounds.upper.is_Integer and bounds.upper < 2**62:
                self.limits[str(self._names[symbol])] = int(bounds.upper)

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the order in which the generated code takes their values."""
        return tuple(dict.fromkeys(str(name) for name in self._names.values()))

    def of(self, value: Any) -> sympy.Expr:
        """Return an int or a torch size as an expression over the names."""
        expression = _expression(value)
        unknown = expression.free_symbols - set(self._names)
        if unknown:
            raise CompileError(
                f"the size {expression} depends on the data, not on the sizes of the inputs",
                fix="use the backend eager",
            )
        return sympy.sympify(expression.xreplace(self._names))

    def shape(self, value: Any) -> Shape:
        """Return the shape of a tensor."""
        return tuple(self.of(size) for size in value.shape)


def symbol_of(dim: str) -> sympy.Symbol:
    """Return the symbol of a dynamic dimension; its name is a word of C that nothing else uses."""
    return sympy.Symbol("n_" + re.sub(r"\W", "_", dim), integer=True, nonnegative=True)


def _expression(value: Any) -> sympy.Expr:
    node = getattr(value, "node", None)
    return sympy.Integer(int(value)) if node is None else node.expr


def product(sizes: Iterable[sympy.Expr]) -> sympy.Expr:
    """Return the product, 1 for none."""
    return sympy.expand(sympy.Mul(*sizes))


def same(a: sympy.Expr, b: sympy.Expr) -> bool:
    """Tell whether two sizes are equal whatever the names stand for."""
    return bool(a == b or sympy.expand(a - b) == 0)


def evaluate(expression: sympy.Expr, values: dict[str, int]) -> int:
    """Return the number an expression stands for."""
    return int(expression.xreplace({s: sympy.Integer(values[str(s)]) for s in expression.free_symbols}))


def c(expression: sympy.Expr) -> str:
    """Return an expression as C over int64_t.

    Raises
    ------
    CompileError
        If it holds a function that sizes do not need.
    """
    if expression.is_Integer:
        return str(expression)
    if expression.is_Symbol:
        return str(expression)
    parts = [c(argument) for argument in expression.args]
    name = type(expression).__name__
    if expression.is_Add:
        return f"({' + '.join(parts)})".replace("+ -", "- ")
    if expression.is_Mul and all(a.is_Integer or not a.is_Rational for a in expression.args):
        return " * ".join(parts)
    if expression.is_Pow and expression.exp.is_Integer and expression.exp > 0:
        return " * ".join([c(expression.base)] * int(expression.exp))
    if name in _BINARY:
        return f"{_BINARY[name]}({', '.join(parts)})"
    if name in ("Max", "Min"):
        return _nested(name.lower() + "imum", parts)
    raise CompileError(f"a size is {expression}, which has no form in C", fix="use the backend eager")


def _nested(function: str, parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{function}({parts[0]}, {_nested(function, parts[1:])})"
