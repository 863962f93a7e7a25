"""Custom torch ops that a quantized program is made of, one family a file.

Importing this package registers them in the namespace ``workbench``, so that a variant can be read back.
Each op has an eager reference (the semantics), a fake implementation (shapes for export) and an ONNX
translation built from standard operators that onnxruntime fuses into integer kernels.

==========================  ======================================================================
``dequantize``              int8 weight (or int32 bias) to float, one scale per slice of an axis
``quantize_dequantize``     a float activation rounded to the uint8 grid found by calibration
``linear_dynamic``          linear layer, activations quantized per call
``linear_static``           linear layer, activations on a calibrated grid
``embedding_int8``          rows of an int8 table, one scale a row
``linear_ternary``          linear layer on packed -1, 0, 1, int8 activations a token
``conv_ternary``            1-d and 2-d convolution of the same kind, int8 activations a sample
``embedding_ternary``       rows of a ternary table
``unpack_ternary``          ternary weight to float
``linear_int4``             linear layer on 4-bit weights, float activations
``unpack_int4``             4-bit weight to float
==========================  ======================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import dequantize, embedding, int4, linear, quantize_dequantize, ternary  # noqa: F401


def onnx_translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Return torch op -> onnxscript translation, as ``torch.onnx.export(custom_translation_table=)`` takes it."""
    from . import ternary_onnx

    families = (dequantize, quantize_dequantize, linear, embedding, int4, ternary_onnx)
    return {op: translate for family in families for op, translate in family.TRANSLATIONS.items()}
