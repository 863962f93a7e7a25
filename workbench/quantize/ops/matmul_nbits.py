"""``com.microsoft::MatMulNBits`` for onnxscript, which knows only operators whose schema it is told."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

INT8_ACTIVATIONS = 4
"""``accuracy_level``: activations in int8, a grid for each block."""


@functools.cache
def matmul_nbits() -> Callable[..., Any]:
    """Return the operator: (x, packed, scales, zero_points, *, K, N, bits, block_size, accuracy_level)."""
    from onnx.defs import OpSchema
    from onnxscript import values

    float32, uint8 = "tensor(float)", "tensor(uint8)"
    inputs = (("A", float32), ("B", uint8), ("scales", float32), ("zero_points", uint8))
    attributes = ("K", "N", "bits", "block_size", "accuracy_level")
    schema = OpSchema(
        "MatMulNBits",
        "com.microsoft",
        1,
        inputs=[OpSchema.FormalParameter(name, kind) for name, kind in inputs],
        outputs=[OpSchema.FormalParameter("Y", float32)],
        attributes=[OpSchema.Attribute(name, OpSchema.AttrType.INT) for name in attributes],
    )
    return values.Op(values.Opset("com.microsoft", 1), "MatMulNBits", schema)
