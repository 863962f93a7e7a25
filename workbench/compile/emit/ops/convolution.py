"""Convolutions of images and sequences, with a batch norm behind them folded in, and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy
import torch
from torch.fx import Node

from ....errors import CompileError
from ..emitter import Emitter
from ..function import Function
from ..registry import Operation, operator
from ..sizes import Shape, product
from ..tensors import Tensor
from .matmul import suffix
from .norm import folded_norm

NORMS = ("aten._native_batch_norm_legit_no_training.default", "aten.batch_norm.default")


@operator("aten.conv1d.default", "aten.conv2d.default", "aten.convolution.default")
def convolution(emitter: Emitter, node: Operation) -> Any:
    """Write a convolution, plain or transposed."""
    x, weight, bias = [*node.args, None][:3]
    full = str(node.target) == "aten.convolution.default"
    rank = len(emitter.shape(x)) - 2
    stride, padding, dilation = _settings(node, rank)
    transposed = bool(full and node.args[6])
    groups = int(node.args[8] if full else [*node.args, *(1,) * 4][6] if len(node.args) > 6 else 1)
    if rank > 2 or not all(isinstance(p, int) for p in padding):
        raise CompileError(
            f"a convolution over {rank} axes is not written", fix="use the backend onnxruntime"
        )
    w, b, result_node = _folded(emitter, node, weight, bias, transposed)
    image, result = emitter.contiguous(x), emitter.new(node)
    function = emitter.function(node)
    shape = w.shape
    inputs, outputs = (shape[0] // groups, shape[1]) if transposed else (shape[1], shape[0] // groups)
    fields = {
        "batch": image.shape[0], "groups": groups, "in": inputs, "out": outputs,
        **plane(image.shape, result.shape, rank),
        "kernel": two(shape[2:], 1), "stride": two(stride, 1), "padding": two(padding, 0),
        "dilation": two(dilation, 1),
    }  # fmt: skip
    pointer, kernel = function.read(image, "x"), function.read(emitter.stored(w), "weight")
    beta = "0" if b is None else function.read(emitter.stored(b), "bias")
    arguments = [pointer, kernel, beta]
    kind = "transposed" if transposed else "depthwise" if inputs == 1 and groups > 1 else "convolution"
    if kind == "convolution":
        patch = emitter.scratch(
            (inputs * product(_size(k) for k in shape[2:]), *result.shape[2:]), image.dtype
        )
        arguments.append(function.write(patch, "patch"))
    y = function.write(result)
    write_settings(function, "convolution", fields)
    function.call(f"{kind}_{suffix(image)}", "&settings", *arguments, y)
    emitter.add(function)
    if result_node is not node:
        emitter.skip(result_node, (result, None, None) if "native" in str(result_node.target) else result)
    return result


def _settings(node: Operation, rank: int) -> list[list[int]]:
    given = [*node.args[3:6], *(1, 0, 1)[len(node.args[3:6]) :]]
    return [[value] * rank if isinstance(value, int) else list(value) * (rank if len(value) == 1 else 1)
            for value in given]  # fmt: skip


def _folded(
    emitter: Emitter, node: Operation, weight: Any, bias: Any, transposed: bool
) -> tuple[torch.Tensor, torch.Tensor | None, Node]:
    """Return weight and bias, those of the batch norm behind it multiplied in, and the node they give."""
    w, b = emitter.constant(weight), emitter.constant(bias)
    if w is None or (bias is not None and b is None):
        raise CompileError(
            "a convolution with computed weights is not written", fix="use the backend onnxruntime"
        )
    readers = list(node.users)
    if transposed or len(readers) != 1 or str(readers[0].target) not in NORMS:
        return w, b, node
    scale, shift = folded_norm(emitter, readers[0])
    around = (-1, *(1,) * (w.ndim - 1))
    return w * scale.reshape(around), shift if b is None else b * scale + shift, readers[0]


def plane(source: Shape, result: Shape, rank: int) -> dict[str, sympy.Expr]:
    """Return the sizes of an image and of what becomes of it; a sequence is an image of height one."""
    one = sympy.Integer(1)
    height, width = source[-2:] if rank == 2 else (one, source[-1])
    rows, columns = result[-2:] if rank == 2 else (one, result[-1])
    return {"height": height, "width": width, "rows": rows, "columns": columns}


def two(values: Sequence[int], first: int) -> list[int]:
    """Return a setting for two axes; that of the height of a sequence is `first`."""
    return [int(v) for v in ([first, *values] if len(values) == 1 else values)]


def _size(value: int) -> sympy.Expr:
    return sympy.Integer(value)


def write_settings(
    function: Function, struct: str, fields: dict[str, Any], numbers: dict[str, str] | None = None
) -> None:
    """Write the constant that tells a kernel its sizes, and numbers that are C already."""
    words = [f".{name} = {value}" for name, value in (numbers or {}).items()] + words_of(function, fields)
    function.line(f"const struct {struct} settings = {{")
    for start in range(0, len(words), 4):
        function.line("    " + ", ".join(words[start : start + 4]) + ",")
    function.line("};")


def words_of(function: Function, fields: dict[str, Any]) -> list[str]:
    """Return fields as the initializers of a C struct; a list is an array."""
    return [
        f".{name} = {{{', '.join(function.size(v) for v in value)}}}"
        if isinstance(value, list)
        else f".{name} = {function.size(value)}"
        for name, value in fields.items()
    ]


@operator(
    "aten.max_pool2d_with_indices.default", "aten.max_pool2d.default", "aten.max_pool1d.default",
    "aten.avg_pool2d.default", "aten.avg_pool1d.default",
)  # fmt: skip
def pool(emitter: Emitter, node: Operation) -> Any:
    """Write the largest element or the mean of each window."""
    maximal, indices = "max" in str(node.target), "indices" in str(node.target)
    if indices and any(user.args[1] != 0 for user in node.users):
        raise CompileError("the places of a maximum are not written", fix="use the backend onnxruntime")
    rank = 1 if "1d" in str(node.target) else 2
    kernel = _list(node.args[1], rank)
    stride = _list(node.args[2] if len(node.args) > 2 and node.args[2] else kernel, rank)
    padding = _list(node.args[3] if len(node.args) > 3 else 0, rank)
    dilation = _list(node.args[4] if maximal and len(node.args) > 4 else 1, rank)
    fields: dict[str, Any] = {
        "kernel": two(kernel, 1), "stride": two(stride, 1), "padding": two(padding, 0),
        "dilation": two(dilation, 1),
    }  # fmt: skip
    if not maximal:
        fields["count_padding"] = int(node.args[5] if len(node.args) > 5 else 1)
        fields["divisor"] = int((node.args[6] if len(node.args) > 6 else 0) or 0)
    result = _pool(emitter, node, "max" if maximal else "average", fields, 0 if indices else None, rank)
    return (result, None) if indices else result


@operator(
    "aten._adaptive_avg_pool2d.default",
    "aten.adaptive_avg_pool2d.default",
    "aten.adaptive_avg_pool1d.default",
)
def adaptive_pool(emitter: Emitter, node: Operation) -> Tensor:
    """Write the mean of each window, windows being what the output's size makes them."""
    rank = 1 if "1d" in str(node.target) else 2
    return _pool(emitter, node, "average", {"adaptive": 1}, None, rank)


def _pool(
    emitter: Emitter, node: Operation, kind: str, fields: dict[str, Any], item: int | None, rank: int
) -> Tensor:
    image, result = emitter.contiguous(node.args[0]), emitter.new(node, item)
    function = emitter.function(node)
    x, y = function.read(image, "x"), function.write(result)
    planes = product(image.shape[:-rank])
    write_settings(function, "pool", {"planes": planes, **plane(image.shape, result.shape, rank), **fields})
    function.call(f"{kind}_pool_{suffix(image)}", "&settings", x, y)
    emitter.add(function)
    return result


@operator("aten.upsample_nearest2d.vec", "aten.upsample_nearest2d.default")
def upsample(emitter: Emitter, node: Operation) -> Tensor:
    """Write an image enlarged by repeating pixels."""
    image, result = emitter.contiguous(node.args[0]), emitter.new(node)
    function = emitter.function(node)
    x, y = function.read(image, "x"), function.write(result)
    (h, w), (rows, columns) = (image.shape[-2:], result.shape[-2:])
    planes = product(image.shape[:-2])
    with function.loop("p", planes), function.loop("i", rows), function.loop("j", columns):
        row = f"i * {function.size(h)} / {function.size(rows)}"
        column = f"j * {function.size(w)} / {function.size(columns)}"
        source = f"(p * {function.size(h)} + {row}) * {function.size(w)} + {column}"
        function.line(f"{y}[(p * {function.size(rows)} + i) * {function.size(columns)} + j] = {x}[{source}];")
    emitter.add(function)
    return result


def _list(value: Any, rank: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return [int(v) for v in (values * rank if len(values) == 1 else values)]
