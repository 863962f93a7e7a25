"""Operators that only move elements: views cost nothing, the rest are copies."""

from __future__ import annotations

from typing import Any

import sympy
from torch.fx import Node

from ..emitter import Emitter, Value, dtype_of
from ..lazy import Lazy, cast, leaf, literal
from ..registry import Operation, operator
from ..tensors import Tensor

_REORDER_NOTHING = (
    "view.default", "_unsafe_view.default", "reshape.default", "flatten.using_ints", "unflatten.int",
    "unsqueeze.default", "squeeze.dim", "squeeze.dims", "squeeze.default", "view_as.default",
)  # fmt: skip
_SAME = (
    "clone.default", "contiguous.default", "alias.default", "detach.default", "lift_fresh_copy.default",
    "dropout.default", "feature_dropout.default", "positive.default", "detach_.default",
)  # fmt: skip


@operator(*(f"aten.{name}" for name in _REORDER_NOTHING))
def reshape(emitter: Emitter, node: Operation) -> Value:
    """Return the same elements in another shape; copy only if the strides do not allow it."""
    source = _source(node)
    value, shape = emitter.tensor(source), emitter.shape(node)
    view = value.reshape(shape)
    return view if view is not None else _must(emitter.copy(value, source).reshape(shape))


@operator(*(f"aten.{name}" for name in _SAME))
def same(emitter: Emitter, node: Operation) -> Value:
    """Return what it takes: nothing here is written to."""
    value = emitter.value(_source(node))
    return emitter.fused(node, value) if isinstance(value, Lazy) else value


same.elementwise = True  # type: ignore[attr-defined]


@operator(
    "aten.permute.default", "aten.transpose.int", "aten.t.default", "aten.mT.default", "aten.movedim.int"
)
def permute(emitter: Emitter, node: Operation) -> Tensor:
    """Return it with its axes in another order."""
    value = emitter.tensor(_source(node))
    rank, name = len(value.shape), str(node.target).split(".")[1]
    order = list(range(rank))
    if name == "permute":
        order = list(node.args[1])
    elif rank > 1 and name != "movedim":
        a, b = node.args[1:3] if name == "transpose" else (-2, -1)
        order[int(a)], order[int(b)] = order[int(b)], order[int(a)]
    elif name == "movedim":
        order.insert(int(node.args[2]) % rank, order.pop(int(node.args[1])))
    return value.permute(order)


@operator("aten.expand.default", "aten.expand_as.default", "aten.broadcast_to.default")
def expand(emitter: Emitter, node: Operation) -> Tensor:
    """Return it repeated along axes of size one, without a copy."""
    return emitter.tensor(_source(node)).expand(emitter.shape(node))


@operator("aten.slice.Tensor", "aten.narrow.default")
def slice_(emitter: Emitter, node: Operation) -> Tensor:
    """Return a part of an axis."""
    value, shape = emitter.tensor(_source(node)), emitter.shape(node)
    arguments = [*node.args[1:], None, None, None][:4] if len(node.args) < 5 else list(node.args[1:])
    axis = int(arguments[0] or 0) % len(value.shape)
    start = _from_front(emitter, arguments[1], value.shape[axis])
    narrow = str(node.target).startswith("aten.narrow")
    step = 1 if narrow or arguments[3] is None else int(arguments[3])
    return value.slice(axis, start, shape[axis], sympy.Integer(step))


@operator("aten.select.int")
def select(emitter: Emitter, node: Operation) -> Tensor:
    """Return one element of an axis, without the axis."""
    value, axis = emitter.tensor(_source(node)), int(node.args[1])
    return value.select(axis, _from_front(emitter, node.args[2], value.shape[axis]))


@operator("aten.split.Tensor", "aten.split_with_sizes.default", "aten.chunk.default", "aten.unbind.int",
          "aten.split.sizes")  # fmt: skip
def split(emitter: Emitter, node: Operation) -> tuple[Tensor, ...]:
    """Return the parts of an axis, one behind the other."""
    value = emitter.tensor(_source(node))
    unbind = str(node.target) == "aten.unbind.int"
    place = 1 if unbind else 2
    axis = int(node.args[place] if len(node.args) > place else node.kwargs.get("dim", 0))
    axis %= len(value.shape)
    if unbind:
        return tuple(value.select(axis, sympy.Integer(i)) for i in range(len(node.meta["val"])))
    parts, start = [], sympy.Integer(0)
    for item in range(len(node.meta["val"])):
        size = emitter.shape(node, item)[axis]
        parts.append(value.slice(axis, start, size))
        start += size
    return tuple(parts)


@operator("aten.cat.default", "aten.stack.default")
def concatenate(emitter: Emitter, node: Operation) -> Tensor:
    """Copy tensors into one, along an axis."""
    sources: Any = node.args[0]
    result = emitter.new(node)
    axis = int(node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0))
    axis %= len(result.shape)
    start, dtype = sympy.Integer(0), dtype_of(node.meta["val"])
    for source in sources:
        value = emitter.tensor(source)
        if str(node.target) == "aten.stack.default":
            shape = (*value.shape[:axis], sympy.Integer(1), *value.shape[axis:])
            value = _must(value.reshape(shape) or emitter.copy(value, source).reshape(shape))
        elif len(value.shape) != len(result.shape):
            continue  # torch lets an empty vector stand among the others
        target = result.slice(axis, start, value.shape[axis])
        emitter.materialize(cast(leaf(value), dtype), node, target)
        start += value.shape[axis]
    return result


@operator("aten.constant_pad_nd.default", "aten.pad.default")
def pad(emitter: Emitter, node: Operation) -> Tensor:
    """Copy it into a larger tensor that is filled with one number, or a part of it where a pad is negative."""
    source, result = emitter.tensor(_source(node)), emitter.new(node)
    pads: Any = node.args[1]
    number = (
        (node.args[3] if str(node.target) == "aten.pad.default" else node.args[2])
        if len(node.args) > 2
        else 0
    )
    filling = literal(number or 0, result.dtype)
    emitter.materialize(Lazy(result.dtype, result.shape, (), filling.code), node, result)
    target = result
    for place in range(len(pads) // 2):
        axis = len(source.shape) - 1 - place
        before, after = emitter.size(pads[2 * place]), emitter.size(pads[2 * place + 1])
        cut_before, cut_after = sympy.Max(0, -before), sympy.Max(0, -after)
        size = source.shape[axis] - cut_before - cut_after
        source = source.slice(axis, cut_before, size)
        target = target.slice(axis, sympy.Max(0, before), size)
    emitter.materialize(leaf(source), node, target)
    return result


@operator("aten.flip.default")
def flip(emitter: Emitter, node: Operation) -> Tensor:
    """Return it with axes reversed: strides may be negative."""
    value = emitter.tensor(_source(node))
    for axis in node.args[1]:
        axis = int(axis) % len(value.shape)
        size = value.shape[axis]
        value = value.slice(axis, size - 1, size, sympy.Integer(-1))
    return value


@operator("aten.repeat.default")
def repeat(emitter: Emitter, node: Operation) -> Tensor:
    """Copy it next to itself: every axis is two, the copies and the elements."""
    value, result = emitter.tensor(_source(node)), emitter.new(node)
    counts: Any = node.args[1]
    one = sympy.Integer(1)
    shape = (*[one] * (len(counts) - len(value.shape)), *value.shape)
    value = _must(value.reshape(shape) or emitter.copy(value, node).reshape(shape))
    pairs = tuple(s for count, size in zip(counts, shape, strict=True) for s in (emitter.size(count), size))
    single = _must(value.reshape(tuple(s for size in shape for s in (one, size))))
    emitter.materialize(leaf(single.expand(pairs)), node, _must(result.reshape(pairs)))
    return result


@operator("aten.arange.default", "aten.arange.start", "aten.arange.start_step")
def arange(emitter: Emitter, node: Operation) -> Tensor:
    """Write numbers at one distance."""
    result, function = emitter.new(node), emitter.function(node)
    arguments = list(node.args)
    start = emitter.size(arguments[0]) if len(arguments) > 1 else sympy.Integer(0)
    step = emitter.size(arguments[2]) if len(arguments) > 2 else sympy.Integer(1)
    y = function.write(result)
    with function.loop("i", result.shape[0]):
        function.line(f"{y}[i] = {function.size(start)} + i * {function.size(step)};")
    emitter.add(function)
    return result


@operator("aten.tril.default", "aten.triu.default")
def triangle(emitter: Emitter, node: Operation) -> Tensor:
    """Copy the elements on one side of a diagonal; the others are zero."""
    value, result = emitter.contiguous(_source(node)), emitter.new(node)
    diagonal = int(node.args[1] if len(node.args) > 1 else node.kwargs.get("diagonal", 0))
    keep = "<=" if "tril" in str(node.target) else ">="
    function = emitter.function(node)
    x, y = function.read(value, "x"), function.write(result)
    rows, columns = result.shape[-2:]
    count = sympy.expand(sympy.Mul(*result.shape[:-2]) * rows)
    with function.loop("i", count), function.loop("j", columns):
        at = f"i * {function.size(columns)} + j"
        inside = f"j - i % {function.size(rows)} {keep} {diagonal}"
        function.line(f"{y}[{at}] = {inside} ? {x}[{at}] : 0;")
    emitter.add(function)
    return result


def _source(node: Operation) -> Node:
    source = node.args[0]
    assert isinstance(source, Node)
    return source


def _must(value: Tensor | None) -> Tensor:
    assert value is not None, "a tensor in order takes any shape"
    return value


def _from_front(emitter: Emitter, index: Any, size: sympy.Expr) -> sympy.Expr:
    """Return an index counted from the front; a negative one counts from behind, one beyond the end is the end."""
    at = sympy.Integer(0) if index is None else emitter.size(index)
    if at.is_Integer:
        if at < 0:
            return sympy.Max(0, size + at)
        return at if not size.is_Integer else sympy.Min(at, size)
    return at
