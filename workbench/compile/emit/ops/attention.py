"""Scaled dot-product attention, a few rows of scores at a time: no matrix of scores is ever stored."""

from __future__ import annotations

from typing import Any

import sympy

from ....errors import CompileError
from ..emitter import Emitter
from ..registry import Operation, operator
from ..tensors import Tensor
from ..weights import PANEL
from .convolution import write_settings
from .matmul import suffix

TILE = 8  # rows of scores at a time, the most that runtime/gemm.h has
PARTS = 8  # workspaces, the most that runtime/attention.h splits the heads into


@operator("aten.scaled_dot_product_attention.default")
def attention(emitter: Emitter, node: Operation) -> Tensor:
    """Write attention over [batch, heads, length, width], with a mask, causal, or with grouped keys."""
    names = ("attn_mask", "dropout_p", "is_causal")
    query, key, value, *rest = node.args
    options = dict(zip(names, rest, strict=False)) | dict(node.kwargs)
    if options.get("dropout_p") or len(emitter.shape(query)) not in (3, 4):
        raise CompileError(
            "attention with dropout is not written", fix="capture the module after module.eval()"
        )
    q, k, v = (_four(_unit(emitter, each)) for each in (query, key, value))
    result = emitter.new(node)
    width = q.shape[3]
    batch, heads, queries, _ = _four(result).shape
    grouped = bool(options.get("enable_gqa"))
    q = q.expand((batch, heads, *q.shape[2:]))
    k, v = (each.expand((batch, each.shape[1] if grouped else heads, *each.shape[2:])) for each in (k, v))
    group = heads / k.shape[1]
    mask = _mask(emitter, options.get("attn_mask"), (batch, heads, queries, k.shape[2]))
    function = emitter.function(node, "attention")
    pointers = [function.read(t, n) for t, n in ((q, "q"), (k, "k"), (v, "v"))]
    float_mask, bool_mask = "0", "0"
    if mask is not None:
        pointer = function.read(mask, "mask")
        float_mask, bool_mask = ("0", pointer) if mask.dtype == "bool" else (pointer, "0")
    room = sympy.Min(batch * heads, PARTS) * sympy.expand((width + TILE) * (k.shape[2] + PANEL))
    scores = function.write(emitter.scratch((room,), q.dtype), "work")
    y = function.write(result)
    scale = options.get("scale")
    fields = {
        "batch": batch, "heads": heads, "group": group, "queries": queries, "keys": k.shape[2], "width": width,
        "value_width": v.shape[3], "q": list(q.strides[:3]), "k": list(k.strides[:3]), "v": list(v.strides[:3]),
        "causal": int(bool(options.get("is_causal"))),
    }  # fmt: skip
    factor = f"1 / sqrt({function.size(width)})" if scale is None else repr(float(scale))
    if mask is not None:
        fields["m"] = list(mask.strides)
    write_settings(
        function,
        "attention",
        fields,
        {"scale": factor},
    )
    function.call(f"attention_{suffix(q)}", "&settings", *pointers, float_mask, bool_mask, scores, y)
    emitter.add(function)
    return result


def _unit(emitter: Emitter, node: Any) -> Tensor:
    """Return it with the last axis in one piece."""
    value = emitter.tensor(node)
    return value if value.strides[-1] == 1 else emitter.copy(value, node)


def _four(value: Tensor) -> Tensor:
    one = sympy.Integer(1)
    if len(value.shape) == 4:
        return value
    expanded = value.expand((one, *value.shape))
    return expanded.permute([1, 0, 2, 3])


def _mask(emitter: Emitter, node: Any, shape: tuple[sympy.Expr, ...]) -> Tensor | None:
    return None if node is None else emitter.tensor(node).expand(shape)
