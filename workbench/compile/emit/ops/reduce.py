"""Operators that make one number of many, and those that work along one axis."""

from __future__ import annotations

from typing import Any

import sympy

from ....errors import CompileError
from ..emitter import Emitter, Value, axes, dtype_of
from ..lazy import cast, leaf, literal
from ..registry import Operation, operator
from ..sizes import product
from ..tensors import C_TYPES, Tensor
from .matmul import suffix

# start, how one element (v) joins the result so far (r)
_JOIN = {
    "sum": ("0", "r + v"), "prod": ("1", "r * v"), "any": ("0", "r || v"), "all": ("1", "r && v"),
    "amax": (None, "v > r || v != v ? v : r"), "amin": (None, "v < r || v != v ? v : r"),
}  # fmt: skip


@operator(
    "aten.sum.default", "aten.sum.dim_IntList", "aten.mean.default", "aten.mean.dim", "aten.prod.default",
    "aten.amax.default", "aten.amin.default", "aten.any.default", "aten.any.dim", "aten.any.dims",
    "aten.all.default", "aten.all.dim", "aten.all.dims", "aten.prod.dim_int", "aten.max.default", "aten.min.default",
)  # fmt: skip
def reduce(emitter: Emitter, node: Operation) -> Value:
    """Write a reduction over axes."""
    name = str(node.target).split(".")[1]
    name = {"max": "amax", "min": "amin"}.get(name, name)
    rows, columns, value = _rows(emitter, node, _dims(node))
    dtype = dtype_of(node.meta["val"])
    function, result = emitter.function(node), emitter.new(node)
    if name in ("sum", "mean") and dtype.startswith("float"):
        value = _as(emitter, node, value, dtype)
        x, y = function.read(value, "x"), function.write(result)
        with function.loop("i", rows):
            total = f"sum_{suffix(value)}({x} + i * {function.size(columns)}, {function.size(columns)})"
            scale = f" / ({C_TYPES[dtype]}){function.size(columns)}" if name == "mean" else ""
            function.line(f"{y}[i] = {total}{scale};")
    else:
        start, join = _JOIN[name]
        x, y, kind = function.read(value, "x"), function.write(result), C_TYPES[dtype]
        if name in ("any", "all"):
            join = join.replace("v", "(v != 0)")
        with function.loop("i", rows):
            function.line(
                f"{kind} r = {start if start is not None else f'{x}[i * {function.size(columns)}]'};"
            )
            with function.loop("j", columns):
                function.line(f"const {kind if name not in ('any', 'all') else C_TYPES[value.dtype]} v = "
                              f"{x}[i * {function.size(columns)} + j];")  # fmt: skip
                function.line(f"r = {join};")
            function.line(f"{y}[i] = r;")
    emitter.add(function)
    return result


@operator("aten.argmax.default", "aten.argmin.default", "aten.max.dim", "aten.min.dim")
def extremum(emitter: Emitter, node: Operation) -> Any:
    """Write where the largest or smallest element of an axis lies, and for ``max.dim`` which it is."""
    pair = str(node.target).endswith(".dim")
    dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    rows, columns, value = _rows(emitter, node, dim)
    function = emitter.function(node)
    x = function.read(value, "x")
    tops = emitter.new(node, 0) if pair else None
    places = emitter.new(node, 1) if pair else emitter.new(node)
    top, place = (function.write(tops) if tops else ""), function.write(places, "at")
    better = ">" if "max" in str(node.target) else "<"
    with function.loop("i", rows):
        function.line(f"const {C_TYPES[value.dtype]} *row = {x} + i * {function.size(columns)};")
        function.line("int64_t best = 0;")
        with function.loop("j", columns):
            nan = "(row[j] != row[j] && row[best] == row[best])"
            function.line(f"if (row[j] {better} row[best] || {nan}) best = j;")
        function.line(f"{place}[i] = best;")
        if tops:
            function.line(f"{top}[i] = row[best];")
    emitter.add(function)
    return (tops, places) if pair else places


@operator("aten.var.correction", "aten.var_mean.correction", "aten.std.correction")
def variance(emitter: Emitter, node: Operation) -> Any:
    """Write a variance over axes, with the mean or as its root where that is asked."""
    name = str(node.target).split(".")[1]
    rows, columns, value = _rows(emitter, node, node.args[1] if len(node.args) > 1 else None)
    pair = name == "var_mean"
    correction = float(1 if node.kwargs.get("correction") is None else node.kwargs["correction"])
    function = emitter.function(node)
    x, s, n = function.read(value, "x"), suffix(value), function.size(columns)
    result = emitter.new(node, 0 if pair else None)
    means = emitter.new(node, 1) if pair else None
    y, mean = function.write(result), function.write(means, "mean") if means else ""
    with function.loop("i", rows):
        function.line(f"const {C_TYPES[value.dtype]} m = sum_{s}({x} + i * {n}, {n}) / {n};")
        spread = f"squares_{s}({x} + i * {n}, m, {n}) / ({n} - {literal(correction, value.dtype).code})"
        root = "sqrtf" if value.dtype == "float32" else "sqrt"
        function.line(f"{y}[i] = {f'{root}({spread})' if name == 'std' else spread};")
        if means:
            function.line(f"{mean}[i] = m;")
    emitter.add(function)
    return (result, means) if pair else result


@operator("aten.linalg_vector_norm.default")
def vector_norm(emitter: Emitter, node: Operation) -> Tensor:
    """Write the root of the sum of squares over axes."""
    order = node.args[1] if len(node.args) > 1 else 2
    if order != 2:
        raise CompileError(f"a norm of order {order} is not written", fix="use the backend onnxruntime")
    rows, columns, value = _rows(emitter, node, node.args[2] if len(node.args) > 2 else None)
    function, result = emitter.function(node), emitter.new(node)
    x, y, n = function.read(value, "x"), function.write(result), function.size(columns)
    with function.loop("i", rows):
        function.line(f"{y}[i] = sqrt(squares_{suffix(value)}({x} + i * {n}, 0, {n}));")
    emitter.add(function)
    return result


@operator("aten._softmax.default", "aten.softmax.int", "aten._log_softmax.default", "aten.log_softmax.int")
def softmax(emitter: Emitter, node: Operation) -> Tensor:
    """Write a softmax along an axis."""
    name = str(node.target).split(".")[1].lstrip("_")
    source, axis = node.args[0], int(node.args[1])
    return _along(emitter, node, source, axis, name)


@operator("aten.cumsum.default")
def cumsum(emitter: Emitter, node: Operation) -> Tensor:
    """Write running sums along an axis."""
    return _along(emitter, node, node.args[0], int(node.args[1]), "")


def _along(emitter: Emitter, node: Operation, source: Any, axis: int, kernel: str) -> Tensor:
    """Write a function of rows; where the axis is not the last, its rows are gathered before and put back after."""
    value = emitter.tensor(source)
    order = list(range(len(value.shape)))
    order.append(order.pop(axis % max(len(order), 1))) if order else None
    moved = value.permute(order)
    moved = _as(emitter, node, moved, dtype_of(node.meta["val"]))
    moved = moved if moved.is_contiguous else emitter.copy(moved, node)
    result = emitter.scratch(moved.shape, moved.dtype)
    function = emitter.function(node)
    x, y = function.read(moved, "x"), function.write(result)
    columns = moved.shape[-1] if moved.shape else sympy.Integer(1)
    rows = product(moved.shape[:-1])
    if kernel:
        function.call(f"{kernel}_{suffix(moved)}", x, y, rows, columns)
    else:
        with function.loop("i", rows):
            function.line(f"{C_TYPES[moved.dtype]} r = 0;")
            with function.loop("j", columns):
                at = f"i * {function.size(columns)} + j"
                function.line(f"{y}[{at}] = r += {x}[{at}];")
    emitter.add(function)
    return result.permute([order.index(a) for a in range(len(order))])


def _dims(node: Operation) -> Any:
    name = str(node.target)
    if name.endswith(".default") and not name.startswith(("aten.amax", "aten.amin")):
        return None
    return node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")


def _rows(emitter: Emitter, node: Operation, dims: Any) -> tuple[sympy.Expr, sympy.Expr, Tensor]:
    """Return a tensor whose rows are what is reduced: how many, how long, and the tensor."""
    value = emitter.tensor(node.args[0])
    reduced = axes(dims, len(value.shape))
    kept = [axis for axis in range(len(value.shape)) if axis not in reduced]
    moved = value.permute([*kept, *reduced])
    moved = moved if moved.is_contiguous else emitter.copy(moved, node)
    return product(value.shape[a] for a in kept), product(value.shape[a] for a in reduced), moved


def _as(emitter: Emitter, node: Operation, value: Tensor, dtype: str) -> Tensor:
    return value if value.dtype == dtype else emitter.materialize(cast(leaf(value), dtype), node)
