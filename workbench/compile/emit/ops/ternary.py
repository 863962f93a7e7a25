"""The workbench's ternary operators: the kernels of :mod:`workbench.kernels`, their weights packed while compiling."""

from __future__ import annotations

from typing import Any

import sympy
import torch
from torch.fx import Node

from ....kernels import ConvGeometry, PackedTernary, pack, pack_conv
from ..emitter import Emitter
from ..function import Function
from ..registry import Operation, operator
from ..sizes import product
from ..tensors import Tensor, whole
from ..weights import to_array
from .convolution import NORMS, plane, two, words_of
from .integer import float_rows, known, lookup
from .norm import folded_norm

_ACTIVATIONS = {"aten.relu.default": "RELU", "aten.gelu.default": "GELU", "aten.silu.default": "SILU"}


@operator("workbench.linear_ternary.default")
def linear_ternary(emitter: Emitter, node: Operation) -> Tensor:
    """Write a linear layer, the activation behind it fused in."""
    x, codes, scale, bias, features = node.args
    rows, result = float_rows(emitter, x), emitter.new(node)
    rows = rows if rows.is_contiguous else emitter.copy(rows, node)
    array, k, scales = to_array(known(emitter, codes)), int(features), known(emitter, scale)
    packed = pack(array, k, groups=scales.shape[1], layout=emitter.ternary_layout)
    function = emitter.function(node)
    pointer, matrix = function.read(rows, "x"), _matrix(emitter, function, packed)
    tail = _scales(emitter, function, scales, None if bias is None else known(emitter, bias))
    y = function.write(result)
    count = function.size(product(rows.shape[:-1]))
    activation = _activation(emitter, node, result)
    _call(function, f"tern_linear({matrix}, {tail}, {pointer}, {y}, {count}, {activation}, mlops_threads)")
    emitter.add(function)
    return result


@operator("workbench.conv_ternary.default")
def conv_ternary(emitter: Emitter, node: Operation) -> Tensor:
    """Write a convolution, the batch norm and the activation behind it fused in."""
    x, codes, scale, bias, kernel, stride, padding, dilation, groups = node.args
    image, result = emitter.contiguous(x), emitter.new(node)
    kernel, stride, padding, dilation = (tuple(v) for v in (kernel, stride, padding, dilation))
    geometry = ConvGeometry(kernel, stride, padding, dilation, int(groups))
    channels = int(image.shape[1])
    packed = pack_conv(to_array(known(emitter, codes)), channels, geometry)
    w_scale, b = known(emitter, scale).flatten(), None if bias is None else known(emitter, bias)
    last, w_scale, b = _with_norm(emitter, node, w_scale, b)
    function = emitter.function(node)
    pointer, matrix = function.read(image, "x"), _matrix(emitter, function, packed)
    tail = _scales(emitter, function, w_scale, b)
    y = function.write(result)
    outputs = packed.n * packed.count
    fields = {
        "batch": image.shape[0], "channels": channels, "outputs": outputs, "groups": geometry.groups,
        **{k: v for k, v in plane(image.shape, result.shape, len(geometry.kernel)).items() if k in ("height", "width")},
        "kernel": two(geometry.kernel, 1), "stride": two(geometry.stride, 1),
        "padding": two(geometry.padding, 0), "dilation": two(geometry.dilation, 1),
    }  # fmt: skip
    function.line(f"const tern_conv_shape shape = {{{', '.join(words_of(function, fields))}}};")
    if last is not node:
        emitter.skip(last, (result, None, None) if "native" in str(last.target) else result)
    reader = next((user for user in last.users if "native" in str(last.target)), last)
    activation = _activation(emitter, reader, result)
    _call(function, f"tern_conv({matrix}, &shape, {tail}, {pointer}, {y}, {activation}, mlops_threads)")
    emitter.add(function)
    return result


def _with_norm(
    emitter: Emitter, node: Operation, scale: torch.Tensor, bias: torch.Tensor | None
) -> tuple[Node, torch.Tensor, torch.Tensor | None]:
    """Return the node whose value this is, and its scales and bias with the batch norm behind it multiplied in."""
    readers = list(node.users)
    if len(readers) != 1 or str(readers[0].target) not in NORMS:
        return node, scale, bias
    factor, shift = folded_norm(emitter, readers[0])
    return readers[0], scale * factor, shift if bias is None else bias * factor + shift


def _activation(emitter: Emitter, node: Operation, result: Tensor) -> str:
    """Return the activation that alone reads the layer, and take its place."""
    readers = list(node.users)
    name = _ACTIVATIONS.get(str(readers[0].target)) if len(readers) == 1 else None
    exact = name != "GELU" or (
        readers[0].kwargs.get("approximate", "none") == "none" and len(readers[0].args) == 1
    )
    if name is None or not exact:
        return "TERN_NONE"
    emitter.skip(readers[0], result)
    return f"TERN_{name}"


def _matrix(emitter: Emitter, function: Function, packed: PackedTernary) -> str:
    buffer = emitter.weights.add(packed.data)
    data = function.read(whole(buffer, (sympy.Integer(packed.data.size),)), "weight")
    fields = (packed.n, packed.k, packed.groups, f"TERN_{packed.layout.upper()}", packed.count)
    function.line(f"const tern_matrix matrix = {{{data}, {', '.join(map(str, fields))}}};")
    return "&matrix"


def _scales(emitter: Emitter, function: Function, scale: torch.Tensor, bias: torch.Tensor | None) -> str:
    s = function.read(emitter.stored(scale.float()), "scale")
    return f"{s}, {'NULL' if bias is None else function.read(emitter.stored(bias.float()), 'bias')}"


def _call(function: Function, call: str) -> None:
    function.line(f"if ({call}) failure = MLOPS_NO_MEMORY;")


@operator("workbench.embedding_ternary.default")
def embedding_ternary(emitter: Emitter, node: Operation) -> Tensor:
    """Write rows of a ternary table."""
    ids, codes, scale, features = node.args
    table, scales = known(emitter, codes), known(emitter, scale)
    width = sympy.Integer(features)
    sizes: list[Any] = [width, width / scales.shape[1]]
    return lookup(emitter, node, ids, (table, scales), "row_ternary", sizes)
