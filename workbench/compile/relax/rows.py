"""Operators that walk rows (attention, layer norm, softmax, GELU) as calls of our kernels.

TVM writes them as several passes of scalar code, an erf or exp of libm for each element.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from .values import call, const, given, integers, rank, shape

_ATTENTION = "aten.scaled_dot_product_attention.default"
_KEPT = (
    "aten.layer_norm.default",
    "aten.gelu.default",
    "aten._softmax.default",
)
_SWAPS: dict[str, tuple[list[Any], ...]] = {
    "aten.transpose.int": ([1, 2], [2, 1]),
    "aten.permute.default": ([[0, 2, 1, 3]],),
}
Theirs = Callable[[Any], Any]


def kept(program: Any) -> tuple[str, ...]:
    """Return which of these operators of a program are not decomposed: attention only where every one is ours."""
    nodes = [node for node in program.graph.nodes if str(node.target) == _ATTENTION]
    return (*_KEPT, _ATTENTION) if all(map(_attends, nodes)) else _KEPT


def _options(node: Any) -> dict[str, Any]:
    names = ("attn_mask", "dropout_p", "is_causal")
    return dict(zip(names, node.args[3:], strict=False)) | dict(node.kwargs)


def _attends(node: Any) -> bool:
    """Return whether it is ours: our kernel repeats keys and values for grouped queries, for nothing else."""
    from torch.fx.experimental.symbolic_shapes import statically_known_true

    parts, options = node.args[:3], _options(node)
    query, key, value = (part.meta["val"].shape for part in parts)
    if options.get("dropout_p") or not _is_float32(node, *parts) or {4} != {*map(len, (query, key, value))}:
        return False
    pairs = [(query[0], key[0]), (query[0], value[0]), (key[1], value[1])]
    pairs += [] if options.get("enable_gqa") else [(query[1], key[1])]
    return all(statically_known_true(one == other) for one, other in pairs)


def attention(node: Any, importer: Any, theirs: Theirs) -> Any:
    """Attention over [batch, heads, length, width]; heads and length may still be swapped in memory."""
    if not _attends(node):
        return theirs(node)
    query, key, value = node.args[:3]
    options = _options(node)
    parts, swapped = zip(*(_unswapped(each, importer) for each in (query, key, value)), strict=True)
    mask = options.get("attn_mask")
    scale = options.get("scale")
    if scale is None:
        scale = 1 / float(query.meta["val"].shape[-1]) ** 0.5
    flags = [*swapped, bool(options.get("is_causal")), mask is not None]
    result = [*shape(importer.env[query])[:3], shape(importer.env[value])[-1]]
    arguments = [*parts, *given(None if mask is None else importer.env[mask])]
    arguments += [const(numpy.array([scale], "float32")), integers(flags)]
    return call(importer, "mlops_attention_f32", arguments, result)


def _unswapped(node: Any, importer: Any) -> tuple[Any, bool]:
    """Return a value as it lies in memory, and whether heads and length are swapped there."""
    if list(node.args[1:]) in _SWAPS.get(str(node.target), ()):
        return importer.env[node.args[0]], True
    return importer.env[node], False


def layer_norm(node: Any, importer: Any, theirs: Theirs) -> Any:
    """Layer norm over the last axis, with weight and bias."""
    x, normalized, *rest = node.args
    options = dict(zip(("weight", "bias", "eps"), rest, strict=False)) | dict(node.kwargs)
    weight, bias = options.get("weight"), options.get("bias")
    if len(normalized) != 1 or weight is None or bias is None or not _is_float32(node, x, weight, bias):
        return theirs(node)
    epsilon = const(numpy.array([options.get("eps", 1e-5)], "float32"))
    value = importer.env[x]
    arguments = [value, importer.env[weight], importer.env[bias], epsilon]
    return call(importer, "mlops_layer_norm_f32", arguments, shape(value))


def gelu(node: Any, importer: Any, theirs: Theirs) -> Any:
    """GELU by a polynomial of erf, or by its approximation with tanh."""
    x = importer.env[node.args[0]]
    if not _is_float32(node, node.args[0]):
        return theirs(node)
    approximate = node.kwargs.get("approximate", "none") == "tanh"
    return call(importer, "mlops_gelu_f32", [x, integers([approximate])], shape(x))


def softmax(node: Any, importer: Any, theirs: Theirs) -> Any:
    """Softmax over the last axis."""
    x, axis, half = node.args
    value = importer.env[x]
    if half or not _is_float32(node, x) or axis not in (-1, rank(value) - 1):
        return theirs(node)
    return call(importer, "mlops_softmax_f32", [value], shape(value))


def _is_float32(*nodes: Any) -> bool:
    return all(str(node.meta["val"].dtype) == "torch.float32" for node in nodes)
