"""Normalizations: over the last axes, over groups of channels, and with the statistics of training."""

from __future__ import annotations

from typing import Any

import sympy
import torch

from ....errors import CompileError
from ..emitter import Emitter, dtype_of
from ..lazy import Lazy, leaf
from ..registry import Operation, operator
from ..sizes import product
from ..tensors import Tensor
from .elementwise import finish
from .matmul import suffix


@operator("aten.layer_norm.default", "aten.native_layer_norm.default")
def layer_norm(emitter: Emitter, node: Operation) -> Any:
    """Write a layer norm over the last axes."""
    source, shape, *rest = node.args
    weight, bias, epsilon = [*rest, *(None, None, 1e-5)[len(rest) :]][:3]
    weight, bias = node.kwargs.get("weight", weight), node.kwargs.get("bias", bias)
    epsilon = node.kwargs.get("eps", epsilon)
    value = emitter.contiguous(source)
    native = "native" in str(node.target)
    result = emitter.new(node, 0 if native else None)
    columns = product(value.shape[-len(shape) :])
    function = emitter.function(node)
    x = function.read(value, "x")
    scale = "0" if weight is None else function.read(emitter.contiguous(weight), "weight")
    shift = "0" if bias is None else function.read(emitter.contiguous(bias), "bias")
    y = function.write(result)
    rows = product(value.shape[: -len(shape)])
    function.call(f"layer_norm_{suffix(value)}", x, scale, shift, y, rows, columns, repr(float(epsilon)))
    emitter.add(function)
    return (result, None, None) if native else result


_GROUPED = {"group_norm": (2, 4, 1), "native_group_norm": (1, 7, 6), "instance_norm": (1, 7, None)}
"""By operator: where weight and bias begin among its arguments, where epsilon is, where the number of groups."""


@operator("aten.group_norm.default", "aten.native_group_norm.default", "aten.instance_norm.default")
def group_norm(emitter: Emitter, node: Operation) -> Any:
    """Write a norm over groups of channels: a norm of rows, then a scale and a shift a channel."""
    name = str(node.target).split(".")[1]
    if name == "instance_norm" and not node.args[5]:
        raise CompileError(
            "an instance norm with running statistics is not written", fix="use the backend onnxruntime"
        )
    first, place, groups = _GROUPED[name]
    affine = [*node.args[first : first + 2], None, None][:2]
    epsilon = float(node.args[place]) if len(node.args) > place else 1e-5
    value = emitter.contiguous(node.args[0])
    count = value.shape[1] if groups is None else sympy.Integer(node.args[groups])
    plain = emitter.scratch(value.shape, value.dtype)
    function = emitter.function(node)
    x, y = function.read(value, "x"), function.write(plain)
    rows, columns = value.shape[0] * count, product(value.shape[1:]) / count
    function.call(f"layer_norm_{suffix(value)}", x, 0, 0, y, rows, columns, repr(epsilon))
    emitter.add(function)
    parts, template = [leaf(plain)], "{0}"
    around = (sympy.Integer(1), value.shape[1], *[sympy.Integer(1)] * (len(value.shape) - 2))
    for each, operation in zip(affine, "*+", strict=True):
        if each is not None:
            parts.append(_channels(emitter, each, around))
            template = f"({template} {operation} {{{len(parts) - 1}}})"
    native = name == "native_group_norm"
    reader = next((user for user in node.users if user.args[1] == 0), node) if native else node
    result = finish(emitter, reader, value.dtype, template, parts)
    return (result, None, None) if native else result


def _channels(emitter: Emitter, node: Any, around: tuple[sympy.Expr, ...]) -> Lazy:
    view = emitter.contiguous(node).reshape(around)
    assert view is not None, "a vector in order takes any shape"
    return leaf(view)


@operator("aten._native_batch_norm_legit_no_training.default", "aten.batch_norm.default")
def batch_norm(emitter: Emitter, node: Operation) -> Any:
    """Write a batch norm with known statistics: one scale and one shift a channel."""
    native = "native" in str(node.target)
    source = node.args[0]
    scale, shift = folded_norm(emitter, node)
    rank = len(emitter.shape(source))
    around = [1, -1] + [1] * (rank - 2)
    parts = [
        leaf(value) if isinstance(value := emitter.value(source), Tensor) else value,
        *(leaf(emitter.stored(each.reshape(around))) for each in (scale, shift)),
    ]
    dtype = dtype_of(source.meta["val"])
    template = "FMA_{s}({0}, {1}, {2})"
    if not native:
        return finish(emitter, node, dtype, template, parts)
    reader = next((user for user in node.users if user.args[1] == 0), node)
    return (finish(emitter, reader, dtype, template, parts), None, None)


batch_norm.elementwise = True  # type: ignore[attr-defined]


def folded_norm(emitter: Emitter, node: Operation) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the scale and the shift of a batch norm.

    Raises
    ------
    CompileError
        If it uses the statistics of the batch: the module was captured in training mode.
    """
    weight, bias, mean, variance_ = (emitter.constant(a) for a in node.args[1:5])
    training = "native" not in str(node.target) and node.args[5]
    if mean is None or variance_ is None or training:
        raise CompileError(
            "a batch norm in training mode is not written", fix="capture the module after module.eval()"
        )
    epsilon = float(node.args[6 if "native" in str(node.target) else 7])
    scale = (variance_.double() + epsilon).rsqrt()
    scale = scale if weight is None else scale * weight.double()
    shift = -mean.double() * scale
    shift = shift if bias is None else shift + bias.double()
    return scale.to(mean.dtype), shift.to(mean.dtype)
