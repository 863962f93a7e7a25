"""Products of matrices.

A constant right side is stored as the kernel reads it; a computed one is copied only if its rows are not in one
piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy
import torch

from ....errors import CompileError
from ..emitter import Emitter
from ..function import Function
from ..registry import Operation, operator
from ..tensors import Tensor, whole
from ..weights import PANEL, panels, to_array

SUFFIX = {"float32": "f32", "float64": "f64"}
ONE = sympy.Integer(1)


def suffix(tensor: Tensor) -> str:
    """Return the suffix of the kernels of a float dtype.

    Raises
    ------
    CompileError
        If there are none.
    """
    if tensor.dtype not in SUFFIX:
        raise CompileError(
            f"a product or sum of {tensor.dtype} has no kernel", fix="use the backend onnxruntime or eager"
        )
    return SUFFIX[tensor.dtype]


@operator("aten.linear.default")
def linear(emitter: Emitter, node: Operation) -> Tensor:
    """Write ``x @ weight.T + bias``."""
    x, weight, *rest = node.args
    return write_linear(
        emitter, node, x, weight, rest[0] if rest else node.kwargs.get("bias"), transposed=True
    )


@operator("aten.mm.default", "aten.matmul.default", "aten.bmm.default")
def matmul(emitter: Emitter, node: Operation) -> Tensor:
    """Write a product; the leading axes are broadcast."""
    a, b = node.args
    if b.meta["val"].ndim == 2 and a.meta["val"].ndim >= 2:
        return write_linear(emitter, node, a, b, None, transposed=False)
    return _batched(emitter, node, a, b)


@operator("aten.addmm.default")
def addmm(emitter: Emitter, node: Operation) -> Tensor:
    """Write ``bias + a @ b``."""
    bias, a, b = node.args
    if any(node.kwargs.get(name, 1) != 1 for name in ("alpha", "beta")):
        raise CompileError("addmm with alpha or beta is not written", fix="use the backend onnxruntime")
    return write_linear(emitter, node, a, b, bias, transposed=False)


def write_linear(
    emitter: Emitter, node: Operation, x: Any, weight: Any, bias: Any, *, transposed: bool
) -> Tensor:
    """Write a product with a matrix for all rows of `x`. weight: [out, in] if transposed, else [in, out]."""
    rows, result = emitter.rows(x), emitter.new(node)
    shape = rows.rows()
    assert shape is not None
    constant = emitter.constant(weight)
    function = emitter.function(node)
    a = function.read(rows, "x")
    if constant is not None:
        matrix = constant.t() if transposed else constant
        stored = write_panels(emitter, matrix)
        b, ldb = function.read(stored, "weight"), sympy.Integer(PANEL)
        step = sympy.Integer(matrix.shape[0] * PANEL)
        depth, columns = (sympy.Integer(size) for size in matrix.shape)
    else:
        value = emitter.tensor(weight)
        value = value.permute([1, 0]) if transposed else value
        if value.strides[-1] != 1:
            value = emitter.copy(value, weight)
        b, ldb, step = function.read(value, "weight"), value.strides[0], sympy.Integer(PANEL)
        depth, columns = value.shape
    beta = "0" if bias is None else function.read(_vector(emitter, bias, columns), "bias")
    y = function.write(result)
    function.call(
        f"product_{suffix(rows)}", shape[0], columns, depth, a, shape[1], b, ldb, step, y, columns, beta, 0, 1
    )  # fmt: skip
    emitter.add(function)
    return result


def _vector(emitter: Emitter, bias: Any, columns: sympy.Expr) -> Tensor:
    value = emitter.contiguous(bias)
    if value.shape != (columns,):
        raise CompileError(
            f"a bias of shape {list(value.shape)} is not written", fix="use the backend onnxruntime"
        )
    return value


def write_panels(emitter: Emitter, matrix: torch.Tensor) -> Tensor:
    """Store a constant matrix [depth, columns] as the kernel reads it."""
    array = panels(to_array(matrix))
    return whole(emitter.weights.add(array), tuple(sympy.Integer(s) for s in array.shape))


def _batched(emitter: Emitter, node: Operation, a: Any, b: Any) -> Tensor:
    """Write one product after the other, over broadcast leading axes."""
    left, right, result = emitter.tensor(a), emitter.tensor(b), emitter.new(node)
    if min(len(left.shape), len(right.shape)) < 2:
        raise CompileError("a product with a vector is not written", fix="use torch.mv or unsqueeze it")
    left = left if left.strides[-1] == 1 else emitter.copy(left, a)
    right = right if right.strides[-1] == 1 else emitter.copy(right, b)
    lead = result.shape[:-2]
    (rows, depth), columns = left.shape[-2:], right.shape[-1]
    left, right = left.expand((*lead, rows, depth)), right.expand((*lead, *right.shape[-2:]))
    function = emitter.function(node)
    p, q, y = function.read(left, "a"), function.read(right, "b"), function.write(result)
    with loops(function, lead):
        function.line(
            f"product_{suffix(result)}({function.size(rows)}, {function.size(columns)}, {function.size(depth)}, "
            f"{at(function, p, left, len(lead))}, {function.size(left.strides[-2])}, "
            f"{at(function, q, right, len(lead))}, {function.size(right.strides[-2])}, PANEL, "
            f"{at(function, y, result, len(lead))}, {function.size(columns)}, 0, 0, 0);"
        )
    emitter.add(function)
    return result


class loops:  # noqa: N801 - reads as the statement it is
    """Open one loop an axis, named ``i0``, ``i1``, ..."""

    def __init__(self, function: Function, sizes: tuple[sympy.Expr, ...]) -> None:
        self._open = [function.loop(f"i{axis}", size) for axis, size in enumerate(sizes)]

    def __enter__(self) -> None:
        for each in self._open:
            each.__enter__()

    def __exit__(self, *error: Any) -> None:
        for each in reversed(self._open):
            each.__exit__(*error)


def index(function: Function, strides: Sequence[sympy.Expr]) -> str:
    """Return where an element lies, under the loops over its axes."""
    terms = [f"i{axis} * {function.size(stride)}" for axis, stride in enumerate(strides) if stride != 0]
    return " + ".join(terms) or "0"


def at(function: Function, pointer: str, tensor: Tensor, axes: int) -> str:
    """Return the pointer to a tensor's element under the loops over its first axes."""
    return f"{pointer} + {index(function, tensor.strides[:axes])}"
