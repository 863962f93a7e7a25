"""Operators that work element by element: expressions, which :mod:`..lazy` turns into loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Node

from ..emitter import Emitter, Value, dtype_of
from ..halves import half_of
from ..lazy import Lazy, cast, combine, leaf, literal, size_literal
from ..registry import Emit, Operation, operator
from ..tensors import ONE, Tensor

# {0}, {1}, ...: arguments; {s}: f32 or f64; {f}: suffix of libm's functions; {k}: suffix of a constant.
_UNARY = {
    "abs": "fabs{f}({0})", "neg": "-({0})", "exp": "exp_{s}({0})", "log": "log{f}({0})", "log2": "log2{f}({0})",
    "log10": "log10{f}({0})", "log1p": "log1p{f}({0})", "expm1": "expm1{f}({0})", "sqrt": "sqrt{f}({0})",
    "rsqrt": "1 / sqrt{f}({0})", "reciprocal": "1 / ({0})", "sin": "sin{f}({0})", "cos": "cos{f}({0})",
    "tan": "tan{f}({0})", "tanh": "tanh_{s}({0})", "sigmoid": "sigmoid_{s}({0})", "erf": "erf_{s}({0})",
    "floor": "floor{f}({0})", "ceil": "ceil{f}({0})", "trunc": "trunc{f}({0})", "round": "nearbyint{f}({0})",
    "relu": "relu_{s}({0})", "silu": "silu_{s}({0})", "hardswish": "hardswish_{s}({0})",
    "hardsigmoid": "hardsigmoid_{s}({0})", "mish": "mish_{s}({0})", "sign": "sign_{s}({0})",
    "square": "square_{s}({0})", "relu6": "clamp_{s}({0}, 0, 6)",
}  # fmt: skip
_INTEGER_UNARY = {
    "abs": "(({0}) < 0 ? -({0}) : ({0}))", "neg": "-({0})", "relu": "(({0}) > 0 ? ({0}) : 0)",
    "sign": "((({0}) > 0) - (({0}) < 0))", "square": "(({0}) * ({0}))",
    **dict.fromkeys(("floor", "ceil", "trunc", "round"), "{0}"),
}  # fmt: skip
_BINARY = {
    "add": "({0} + {1})", "sub": "({0} - {1})", "mul": "({0} * {1})", "div": "({0} / {1})",
    "rsub": "({1} - {0})", "maximum": "larger_{s}({0}, {1})", "minimum": "smaller_{s}({0}, {1})",
    "pow": "pow{f}({0}, {1})", "fmod": "fmod{f}({0}, {1})", "atan2": "atan2{f}({0}, {1})",
    "remainder": "remainder_{s}({0}, {1})", "floor_divide": "floor{f}({0} / {1})",
}  # fmt: skip
_INTEGER_BINARY = {
    **_BINARY, "maximum": "maximum({0}, {1})", "minimum": "minimum({0}, {1})", "fmod": "({0} % {1})",
    "remainder": "floormod({0}, {1})", "floor_divide": "floordiv({0}, {1})", "pow": "power({0}, {1})",
}  # fmt: skip
_COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_LOGICAL = {"logical_and": "({0} && {1})", "logical_or": "({0} || {1})", "logical_xor": "(!{0} != !{1})"}
_BITWISE = {"bitwise_and": "({0} & {1})", "bitwise_or": "({0} | {1})", "bitwise_xor": "({0} ^ {1})"}


def elementwise(*names: str) -> Callable[[Emit], Emit]:
    """Register an operator that takes the values it reads up as expressions."""

    def add(function: Emit) -> Emit:
        function.elementwise = True  # type: ignore[attr-defined]
        return operator(*names)(function)

    return add


def write(emitter: Emitter, node: Operation, dtype: str, template: str, *arguments: Any) -> Value:
    """Return the value of an operator: its template over the arguments, all of them cast to `dtype`."""
    parts = [part(emitter, argument, dtype) for argument in arguments]
    return finish(emitter, node, dtype, template, parts)


def finish(emitter: Emitter, node: Operation, dtype: str, template: str, parts: list[Lazy]) -> Value:
    """Return an expression of parts, as the dtype and shape the node has."""
    suffix = {"float32": ("f32", "f"), "float64": ("f64", "")}.get(dtype, ("", ""))
    template = template.replace("{s}", suffix[0]).replace("{f}", suffix[1])
    value = combine(dtype, emitter.shape(node), template, parts)
    return emitter.fused(node, cast(value, dtype_of(node.meta["val"])))


def part(emitter: Emitter, argument: Any, dtype: str) -> Lazy:
    """Return an argument (a node, a size or a number) as an expression of a dtype."""
    if isinstance(argument, Node) and isinstance(argument.meta["val"], torch.Tensor):
        constant = emitter.constant(argument)
        if constant is not None and constant.ndim == 0:
            return literal(constant.item(), dtype)
        value = emitter.value(argument)
        return cast(leaf(value) if isinstance(value, Tensor) else value, dtype)
    if isinstance(argument, Node):
        return size_literal(emitter.size(argument), dtype)
    return literal(argument, dtype)


def promoted(node: Operation) -> str:
    """Return the dtype torch computes in: that of all tensor arguments together."""
    values = [a.meta["val"] if isinstance(a, Node) else a for a in node.args[:2]]
    return str(torch.result_type(*values)).removeprefix("torch.")


@elementwise(*(f"aten.{name}.default" for name in _UNARY))
def unary(emitter: Emitter, node: Operation) -> Value:
    """Write a function of one argument; integers become floats where torch makes them."""
    name, dtype = _name(node), dtype_of(node.meta["val"])
    table = _UNARY if dtype.startswith("float") else _INTEGER_UNARY
    return write(emitter, node, dtype, table[name], node.args[0])


@elementwise(
    *(f"aten.{name}.{form}" for name in _BINARY for form in ("Tensor", "Scalar", "default")),
    "aten.pow.Tensor_Tensor", "aten.pow.Tensor_Scalar", "aten.pow.Scalar", "aten.remainder.Scalar_Tensor",
)  # fmt: skip
def binary(emitter: Emitter, node: Operation) -> Value:
    """Write a function of two arguments; ``alpha`` scales the second."""
    name, dtype = _name(node), dtype_of(node.meta["val"])
    alpha = node.kwargs.get("alpha", node.args[2] if len(node.args) > 2 else 1)
    if name == "pow" and (short := _short_power(node.args[1])) and dtype.startswith("float"):
        return write(emitter, node, dtype, short, node.args[0])
    if dtype == "bool":
        return write(
            emitter, node, dtype, {"add": "({0} || {1})", "mul": "({0} && {1})"}[name], *node.args[:2]
        )
    table = _BINARY if dtype.startswith("float") else _INTEGER_BINARY
    template = table[name]
    if alpha != 1:
        template = template.replace(
            "{0}" if name == "rsub" else "{1}", "{2} * {0}" if name == "rsub" else "{2} * {1}"
        )
        return write(emitter, node, dtype, template, *node.args[:2], alpha)
    return write(emitter, node, dtype, template, *node.args[:2])


def _short_power(exponent: Any) -> str:
    """Return powers that need no pow()."""
    if isinstance(exponent, Node):
        return ""
    return {2: "square_{s}({0})", 3: "cube_{s}({0})", 0.5: "sqrt{f}({0})", -0.5: "1 / sqrt{f}({0})"}.get(
        exponent, ""
    )


@elementwise("aten.div.Tensor_mode", "aten.div.Scalar_mode")
def divide_rounding(emitter: Emitter, node: Operation) -> Value:
    """Write a division that rounds: ``floor`` or ``trunc``, or does not."""
    dtype, mode = dtype_of(node.meta["val"]), node.kwargs.get("rounding_mode")
    real = dtype.startswith("float")
    template = {
        "floor": "floor{f}({0} / {1})" if real else "floordiv({0}, {1})",
        "trunc": "trunc{f}({0} / {1})" if real else "({0} / {1})",
    }.get(str(mode), "({0} / {1})")
    return write(emitter, node, dtype, template, *node.args[:2])


@elementwise(*(f"aten.{name}.{form}" for name in _COMPARE for form in ("Tensor", "Scalar")))
def compare(emitter: Emitter, node: Operation) -> Value:
    """Write a comparison; it gives a bool."""
    dtype = promoted(node)
    parts = [part(emitter, argument, dtype) for argument in node.args[:2]]
    return finish(emitter, node, "bool", f"({{0}} {_COMPARE[_name(node)]} {{1}})", parts)


@elementwise(*(f"aten.{name}.default" for name in _LOGICAL))
def logical(emitter: Emitter, node: Operation) -> Value:
    """Write a logical function of two bools."""
    return write(emitter, node, "bool", _LOGICAL[_name(node)], *node.args[:2])


@elementwise("aten.logical_not.default", "aten.bitwise_not.default")
def negation(emitter: Emitter, node: Operation) -> Value:
    """Write a negation: of truth, or of bits."""
    dtype = dtype_of(node.meta["val"])
    return write(emitter, node, dtype, "(!{0})" if dtype == "bool" else "(~{0})", node.args[0])


@elementwise(*(f"aten.{name}.{form}" for name in _BITWISE for form in ("Tensor", "Scalar")))
def bitwise(emitter: Emitter, node: Operation) -> Value:
    """Write a function of bits."""
    return write(emitter, node, dtype_of(node.meta["val"]), _BITWISE[_name(node)], *node.args[:2])


@elementwise("aten.isnan.default", "aten.isinf.default")
def non_finite(emitter: Emitter, node: Operation) -> Value:
    """Write a test for NaN or Inf."""
    source = node.args[0]
    assert isinstance(source, Node)
    parts = [part(emitter, source, dtype_of(source.meta["val"]))]
    return finish(emitter, node, "bool", f"({_name(node)}({{0}}) != 0)", parts)


@elementwise("aten.where.self", "aten.where.ScalarOther", "aten.where.ScalarSelf", "aten.where.Scalar")
def where(emitter: Emitter, node: Operation) -> Value:
    """Write a choice between two values."""
    dtype = dtype_of(node.meta["val"])
    parts = [part(emitter, node.args[0], "bool"), *(part(emitter, a, dtype) for a in node.args[1:3])]
    return finish(emitter, node, dtype, "({0} ? {1} : {2})", parts)


@elementwise("aten.masked_fill.Scalar", "aten.masked_fill.Tensor")
def masked_fill(emitter: Emitter, node: Operation) -> Value:
    """Write a value where a mask is true."""
    dtype = dtype_of(node.meta["val"])
    parts = [part(emitter, node.args[1], "bool"), *(part(emitter, node.args[i], dtype) for i in (2, 0))]
    return finish(emitter, node, dtype, "({0} ? {1} : {2})", parts)


@elementwise("aten.clamp.default", "aten.clamp.Tensor", "aten.clamp_min.default", "aten.clamp_max.default",
             "aten.hardtanh.default")  # fmt: skip
def clamp(emitter: Emitter, node: Operation) -> Value:
    """Write a value held between bounds; either may be missing."""
    dtype, name = dtype_of(node.meta["val"]), _name(node)
    low, high = [*node.args[1:3], None, None][:2]
    low, high = node.kwargs.get("min", low), node.kwargs.get("max", high)
    if name == "clamp_max":
        low, high = None, low
    if name == "hardtanh":
        low, high = -1 if low is None else low, 1 if high is None else high
    real = dtype.startswith("float")
    template = "{0}"
    given = [bound for bound in (low, high) if bound is not None]
    for place, function in enumerate(
        (*(["larger"] if low is not None else []), *(["smaller"] if high is not None else []))
    ):
        plain = {"larger": "maximum", "smaller": "minimum"}[function]
        template = (
            f"{function}_{{s}}({template}, {{{place + 1}}})"
            if real
            else f"{plain}({template}, {{{place + 1}}})"
        )
    return write(emitter, node, dtype, template, node.args[0], *given)


@elementwise("aten.gelu.default")
def gelu(emitter: Emitter, node: Operation) -> Value:
    """Write GELU, exact or by tanh."""
    approximate = node.kwargs.get("approximate", node.args[1] if len(node.args) > 1 else "none")
    name = "gelu_tanh" if approximate == "tanh" else "gelu"
    return write(emitter, node, dtype_of(node.meta["val"]), name + "_{s}({0})", node.args[0])


@elementwise("aten.leaky_relu.default", "aten.elu.default", "aten.softplus.default")
def shaped(emitter: Emitter, node: Operation) -> Value:
    """Write an activation with parameters."""
    defaults = {"leaky_relu": (0.01,), "elu": (1.0, 1.0, 1.0), "softplus": (1.0, 20.0)}[_name(node)]
    given = [*node.args[1:], *defaults[len(node.args) - 1 :]]
    places = ", ".join(f"{{{i}}}" for i in range(len(given) + 1))
    return write(
        emitter, node, dtype_of(node.meta["val"]), f"{_name(node)}_{{s}}({places})", node.args[0], *given
    )


@elementwise("aten.prelu.default", "aten._prelu_kernel.default")
def prelu(emitter: Emitter, node: Operation) -> Value:
    """Write a leaky ReLU whose slope is learned, one for all or one a channel."""
    x, slope = node.args
    dtype = dtype_of(node.meta["val"])
    value = emitter.contiguous(slope)
    rank = len(emitter.shape(x))
    if len(value.shape) == 1 and rank > 1:
        ones = [ONE] * (rank - 2)
        value = value.reshape((ONE, value.shape[0], *ones)) or value
    parts = [part(emitter, x, dtype), cast(leaf(value), dtype)]
    return finish(emitter, node, dtype, "leaky_relu_{s}({0}, {1})", parts)


@elementwise("aten._to_copy.default", "aten.to.dtype", "aten.to.dtype_layout", "aten.type_as.default")
def convert(emitter: Emitter, node: Operation) -> Value:
    """Write a conversion of dtype; to half precision, a rounding of a float32."""
    source = node.args[0]
    assert isinstance(source, Node)
    half = half_of(node)
    if half and half_of(source) != half:
        return write(emitter, node, "float32", f"round_{half}({{0}})", source)
    same_dtype = source.meta["val"].dtype == node.meta["val"].dtype
    if same_dtype and not isinstance(emitter.value(source), Lazy):
        return emitter.value(source)
    return write(emitter, node, dtype_of(node.meta["val"]), "{0}", source)


@elementwise(
    "aten.full.default", "aten.zeros.default", "aten.ones.default", "aten.scalar_tensor.default",
    "aten.full_like.default", "aten.zeros_like.default", "aten.ones_like.default", "aten.new_zeros.default",
    "aten.new_ones.default", "aten.new_full.default", "aten.empty.memory_format", "aten.empty_like.default",
)  # fmt: skip
def fill(emitter: Emitter, node: Operation) -> Value:
    """Write one number everywhere."""
    name = _name(node)
    place = {"full": 1, "full_like": 1, "new_full": 2, "scalar_tensor": 0}.get(name)
    value = 1 if "ones" in name else 0 if place is None else node.args[place]
    return write(emitter, node, dtype_of(node.meta["val"]), "{0}", value)


@elementwise("workbench.quantize_dequantize.default")
def quantize_dequantize(emitter: Emitter, node: Operation) -> Value:
    """Write the rounding of an activation to its calibrated grid."""
    template = "quantize_dequantize({0}, {1}, {2})"
    return write(emitter, node, "float32", template, *node.args)


def _name(node: Operation) -> str:
    return str(node.target).split(".")[1]
