"""Operators that pick elements by numbers computed at run time: embeddings, gather, index."""

from __future__ import annotations

from typing import Any

from ....errors import CompileError
from ..emitter import Emitter
from ..function import Function
from ..registry import Operation, operator
from ..sizes import product
from ..tensors import C_TYPES, ZERO, Tensor
from .matmul import index, loops


@operator("aten.embedding.default")
def embedding(emitter: Emitter, node: Operation) -> Tensor:
    """Write rows of a table."""
    return _take(emitter, node, node.args[0], node.args[1], 0)


@operator("aten.index_select.default")
def index_select(emitter: Emitter, node: Operation) -> Tensor:
    """Write the elements of an axis that a vector of numbers names."""
    return _take(emitter, node, node.args[0], node.args[2], int(node.args[1]))


@operator("aten.index.Tensor")
def index_tensor(emitter: Emitter, node: Operation) -> Tensor:
    """Write ``x[:, ids]``: one tensor of numbers, at one axis."""
    indices: Any = node.args[1]
    given = [(axis, each) for axis, each in enumerate(indices) if each is not None]
    if len(given) != 1 or "int" not in str(given[0][1].meta["val"].dtype):
        raise CompileError(
            "indexing with several tensors or with a mask is not written", fix="use the backend onnxruntime"
        )
    return _take(emitter, node, node.args[0], given[0][1], given[0][0])


@operator("aten.gather.default")
def gather(emitter: Emitter, node: Operation) -> Tensor:
    """Write the elements along an axis that a tensor of numbers names, one for each place."""
    value, ids, result = emitter.tensor(node.args[0]), emitter.contiguous(node.args[2]), emitter.new(node)
    axis = int(node.args[1]) % len(value.shape)
    function = emitter.function(node)
    x, at, y = function.read(value, "x"), function.read(ids, "ids"), function.write(result)
    with loops(function, ids.shape):
        place = index(function, ids.strides)
        checked(function, f"{at}[{place}]", function.size(value.shape[axis]))
        others = tuple(s if a != axis else ZERO for a, s in enumerate(value.strides))
        source = f"row * {function.size(value.strides[axis])} + {index(function, others)}"
        function.line(f"{y}[{place}] = {x}[{source}];")
    emitter.add(function)
    return result


def checked(function: Function, number: str, count: str) -> None:
    """Write ``row``, the number counted from the front; one out of range ends the run with an error."""
    function.line(f"const int64_t row = {number} < 0 ? {number} + {count} : {number};")
    function.line(f"if (row < 0 || row >= {count}) {{ failure = MLOPS_BAD_INDEX; return; }}")


def _take(emitter: Emitter, node: Operation, source: Any, ids: Any, axis: int) -> Tensor:
    value, numbers, result = emitter.contiguous(source), emitter.contiguous(ids), emitter.new(node)
    axis %= len(value.shape)
    function = emitter.function(node)
    x, at, y = function.read(value, "table"), function.read(numbers, "ids"), function.write(result)
    count, picked = function.size(value.shape[axis]), product(numbers.shape)
    width = product(value.shape[axis + 1 :])
    with function.loop("i", product(value.shape[:axis])), function.loop("j", picked):
        checked(function, f"{at}[j]", count)
        size = f"{function.size(width)} * sizeof({C_TYPES[value.dtype]})"
        target = f"{y} + (i * {function.size(picked)} + j) * {function.size(width)}"
        function.line(f"memcpy({target}, {x} + (i * {count} + row) * {function.size(width)}, {size});")
    emitter.add(function)
    return result
