"""The workbench's own int8 and int4 operators: linear layers, and tables of int8."""

from __future__ import annotations

from typing import Any

import sympy
import torch

from ....errors import CompileError
from ..emitter import Emitter
from ..function import Function
from ..lazy import literal
from ..registry import Operation, operator
from ..sizes import product
from ..tensors import Tensor
from ..weights import panels, to_array
from .lookup import checked


@operator("workbench.linear_dynamic.default")
def linear_dynamic(emitter: Emitter, node: Operation) -> Tensor:
    """Write a linear layer that quantizes every row when it sees it."""
    x, w_q, w_scale, *rest = node.args
    weight, scale = known(emitter, w_q), known(emitter, w_scale)
    sums = (weight.float() * scale.unsqueeze(-1)).sum(-1)
    return _linear(emitter, node, (x, weight, scale, sums, rest[0] if rest else None), [])


@operator("workbench.linear_static.default")
def linear_static(emitter: Emitter, node: Operation) -> Tensor:
    """Write a linear layer with a calibrated grid for its input."""
    x, step, zero_point, w_q, w_scale, *rest = node.args
    weight, scale = known(emitter, w_q), known(emitter, w_scale)
    sums = weight.sum(-1, dtype=torch.int32)
    grid = [literal(step, "float32").code, str(int(zero_point))]
    return _linear(emitter, node, (x, weight, scale, sums, rest[0] if rest else None), grid)


def _linear(emitter: Emitter, node: Operation, given: tuple[Any, ...], grid: list[str]) -> Tensor:
    x, weight, scale, sums, bias = given
    rows, result = float_rows(emitter, x), emitter.new(node)
    shape = rows.rows()
    assert shape is not None
    function = emitter.function(node)
    pointer = function.read(rows, "x")
    constants = [
        function.read(emitter.stored(each), name)
        for each, name in ((weight, "weight"), (scale, "scale"), (sums, "sums"))
    ]
    beta = "0" if bias is None else function.read(emitter.contiguous(bias), "bias")
    columns, depth = (sympy.Integer(size) for size in weight.shape)
    q = function.write(emitter.scratch((depth,), "uint8"), "q")
    y = function.write(result)
    name = str(node.target).split(".")[1]
    function.call(name, shape[0], columns, depth, pointer, shape[1], *constants, beta, *grid, q, y)
    emitter.add(function)
    return result


@operator("workbench.linear_int4.default")
def linear_int4(emitter: Emitter, node: Operation) -> Tensor:
    """Write a linear layer on 4-bit weights, which stay so in memory, and float activations."""
    x, w_codes, w_scale, bias, features = node.args
    rows, result = float_rows(emitter, x), emitter.new(node)
    shape = rows.rows()
    assert shape is not None
    codes, scale = _blocks_of_32(known(emitter, w_codes), known(emitter, w_scale), int(features))
    function = emitter.function(node)
    pointer = function.read(rows, "x")
    stored = [function.read(_panels(emitter, each), n) for each, n in ((codes, "codes"), (scale, "scale"))]
    beta = "0" if bias is None else function.read(emitter.contiguous(bias), "bias")
    sizes = (shape[0], sympy.Integer(len(codes)), sympy.Integer(features))
    function.call("linear_int4", *sizes, pointer, shape[1], *stored, beta, function.write(result))
    emitter.add(function)
    return result


def _blocks_of_32(
    codes: torch.Tensor, scale: torch.Tensor, features: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return 4-bit weights as the kernel reads them: a scale that more weights share is repeated."""
    blocks = -(-features // 32)
    repeats = codes.shape[1] // scale.shape[1] // 16
    return codes[:, : blocks * 16], scale.repeat_interleave(repeats, 1)[:, :blocks]


def _panels(emitter: Emitter, rows: torch.Tensor) -> Tensor:
    """Store rows [N, ...] as panels of 16 of them, each with its 16 values side by side."""
    return emitter.stored(torch.from_numpy(panels(to_array(rows.t()))))


@operator("workbench.embedding_int8.default")
def embedding_int8(emitter: Emitter, node: Operation) -> Tensor:
    """Write rows of an int8 table, each with its scale."""
    ids, w_q, scale = node.args
    table = known(emitter, w_q)
    width = sympy.Integer(table.shape[1])
    return lookup(emitter, node, ids, (table, known(emitter, scale)), "row_int8", [width])


def lookup(
    emitter: Emitter,
    node: Operation,
    ids: Any,
    tables: tuple[torch.Tensor, ...],
    row: str,
    sizes: list[sympy.Expr],
) -> Tensor:
    """Write ``row(table, scale, number, sizes..., y)`` for every number."""
    numbers, result = emitter.contiguous(ids), emitter.new(node)
    function: Function = emitter.function(node)
    at = function.read(numbers, "ids")
    pointers = [function.read(emitter.stored(t), n) for t, n in zip(tables, ("table", "scale"), strict=True)]
    y = function.write(result)
    words = ", ".join(function.size(size) for size in sizes)
    with function.loop("i", product(numbers.shape)):
        checked(function, f"{at}[i]", str(tables[0].shape[0]))
        function.line(f"{row}({', '.join(pointers)}, row, {words}, {y} + i * {function.size(sizes[0])});")
    emitter.add(function)
    return result


def float_rows(emitter: Emitter, x: Any) -> Tensor:
    """Return an input of an integer layer, which takes float32 only."""
    value = emitter.rows(x)
    if value.dtype != "float32":
        raise CompileError(
            f"an integer layer of {value.dtype} has no kernel", fix="convert its input to float32"
        )
    return value


def known(emitter: Emitter, node: Any) -> torch.Tensor:
    """Return a constant that an operator must have."""
    constant = emitter.constant(node)
    if constant is None:
        raise CompileError("a layer with computed weights is not written", fix="use the backend eager")
    return constant
