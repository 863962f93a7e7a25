"""Attention as one node of the ONNX model, for a reader that has a kernel for the whole of it.

``torch.onnx.export`` writes it as a dozen nodes: both sides scaled, two products, the mask turned into numbers and
added, softmax, and a guard against NaN over all scores. With 128 tokens those take as long as the products do.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from onnxscript import opset20 as op

DOMAIN, NAME = "workbench", "Attention"
"""``(q, k, v[, mask])``, each [batch, heads, rows, columns]; attribute ``causal``; scale 1 / sqrt(columns)."""
_FLOAT = 1  # onnx.TensorProto.FLOAT


@functools.cache
def _attention() -> Callable[..., Any]:
    """Return the operator; onnxscript knows only those whose schema it is told."""
    from onnx.defs import OpSchema
    from onnxscript import values

    parameter, optional = OpSchema.FormalParameter, OpSchema.FormalParameterOption.Optional
    schema = OpSchema(
        NAME,
        DOMAIN,
        1,
        inputs=[*(parameter(name, "T") for name in "QKV"), parameter("mask", "M", param_option=optional)],
        outputs=[parameter("Y", "T")],
        type_constraints=[("T", ["tensor(float)"], ""), ("M", ["tensor(bool)", "tensor(float)"], "")],
        attributes=[OpSchema.Attribute("causal", OpSchema.AttrType.INT)],
    )
    return values.Op(values.Opset(DOMAIN, 1), NAME, schema)


def _onnx(
    q: Any,
    k: Any,
    v: Any,
    mask: Any = None,
    dropout: float = 0.0,
    causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Return the one node where it says all; else the exporter's many."""
    columns = q.shape[-1] if q.shape is not None else None
    four = all(x.shape is not None and len(x.shape) == 4 and x.dtype == _FLOAT for x in (q, k, v))
    if not four or dropout or enable_gqa or not isinstance(columns, int) or (causal and mask is not None):
        from onnxscript.function_libs.torch_lib.ops.nn import aten_scaled_dot_product_attention

        return aten_scaled_dot_product_attention(
            q, k, v, mask, dropout, causal, scale=scale, enable_gqa=enable_gqa
        )
    if scale is not None and not math.isclose(scale, columns**-0.5):
        q = op.Mul(q, op.Constant(value_float=scale * columns**0.5))
    inputs = (q, k, v) if mask is None else (q, k, v, mask)
    return _attention()(*inputs, causal=int(causal))


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten.scaled_dot_product_attention.default: _onnx
}
