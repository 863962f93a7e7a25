"""Quantize a program that came as an ONNX file, with onnxruntime's own quantizer and our report.

Its graph is not ours to rewrite, so the library that made the format's conventions does it: QDQ with
per-channel weights where calibration data are given, integer matrix products with ranges found per call
where they are not.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workbench.errors import EmptyData, NonFinite, QuantizeError
from workbench.onnx_session import OnnxRunner
from workbench.program import ONNX_FILE, Examples, read_examples, write_examples, write_signature
from workbench.quiet import quiet

from .base import Request
from .calibrate.feeds import batches
from .numeric import dequantize_weight, quantize_weight, sqnr_db
from .report import LayerRow, QuantizeReport, SkippedLayer, worst_first

DYNAMIC_OPS = (
    "MatMul",
    "Gemm",
    "Gather",
    "LSTM",
    "Attention",
)  # the library splits a Gemm into MatMul and Add
STATIC_OPS = ("Conv", "MatMul", "Gemm", "Gather", "ConvTranspose", "Add", "MaxPool", "AveragePool")
_WEIGHT_INPUT = {"Conv": 1, "MatMul": 1, "Gemm": 1, "ConvTranspose": 1, "LSTM": 1, "Gather": 0}


def quantize_onnx(program: Path, out: Path, request: Request) -> QuantizeReport:
    """Fill `out` with the quantized program and return what was done.

    Raises
    ------
    EmptyData, NonFinite, BadTensor
        If calibration data or weights are unusable.
    QuantizeError
        If onnxruntime's quantizer refuses the graph.
    """
    import onnx

    request.progress(0.1, "reading the program")
    model = onnx.load(program / ONNX_FILE)
    static = request.config.mode == "static" or (
        request.config.mode == "auto" and request.calibration is not None
    )
    found, skipped = _layers(model, request, STATIC_OPS if static else DYNAMIC_OPS, static=static)
    request.progress(0.3, "calibrating" if static else "quantizing")
    exclude = [name for s in skipped if s.layer for name in (s.layer, f"{s.layer}_MatMul")]
    seen = _quantize(program / ONNX_FILE, out / ONNX_FILE, request, exclude, static=static)
    write_signature(out, request.signature)
    inputs = read_examples(program).inputs
    write_examples(out, Examples(inputs, OnnxRunner(out / ONNX_FILE, optimize=False).run(inputs)))
    quantized = onnx.load(out / ONNX_FILE)
    rows, left = _confirmed(found, quantized)
    skipped += left
    return QuantizeReport(
        request.config,
        worst_first(rows),
        tuple(skipped),
        sum(int(np.prod(t.dims)) for t in model.graph.initializer),
        _weight_bytes(model),
        _weight_bytes(quantized),
        seen,
    )


def _layers(
    model: Any, request: Request, kinds: tuple[str, ...], *, static: bool
) -> tuple[list[tuple[LayerRow, str]], list[SkippedLayer]]:
    """Return the layers to quantize, each with its weight's name, and those to leave alone."""
    from onnx import numpy_helper

    weights = {t.name: t for t in model.graph.initializer}
    rows, skipped = [], []
    for node in model.graph.node:
        place = _WEIGHT_INPUT.get(node.op_type)
        tensor = None if place is None else weights.get(node.input[place])
        if tensor is None:
            continue
        w = numpy_helper.to_array(tensor)
        if w.dtype != np.float32:
            continue
        if not np.isfinite(w).all():
            raise NonFinite("a weight holds NaN or infinity", where=f"{node.name}, {tensor.name}")
        if any(fnmatch(node.name, glob) for glob in request.config.skip):
            skipped.append(SkippedLayer(node.name, node.op_type, w.size, "skipped by name"))
        elif node.op_type not in kinds:
            skipped.append(
                SkippedLayer(node.name, node.op_type, w.size, "no integer kernel without calibration data")
            )
        else:
            how = "static" if static else "dynamic"
            row = LayerRow(node.name, node.op_type.lower(), how, w.size, _weight_sqnr(w, node.op_type))
            rows.append((row, tensor.name))
    return rows, skipped


def _confirmed(
    found: list[tuple[LayerRow, str]], quantized: Any
) -> tuple[list[LayerRow], list[SkippedLayer]]:
    """Split the layers by what the library did: a weight that is still there as float was not quantized."""
    floats = {t.name for t in quantized.graph.initializer if t.data_type == t.FLOAT}
    rows, left = [], []
    for row, weight in found:
        name = re.compile(re.escape(weight) + r"(_Transposed(_\d+)?)?")  # as a split Gemm calls it
        if any(name.fullmatch(held) for held in floats):
            left.append(SkippedLayer(row.layer, row.kind, row.parameters, "onnxruntime's quantizer left it"))
        else:
            rows.append(row)
    return rows, left


def _weight_sqnr(w: np.ndarray[Any, Any], kind: str) -> float:
    float_weight = torch.from_numpy(w.copy())
    axis = 0 if kind in ("Conv", "Gather", "LSTM") else float_weight.dim() - 1
    q, scale = quantize_weight(float_weight, axis)
    return sqnr_db(float_weight, dequantize_weight(q, scale, axis))


def _quantize(source: Path, target: Path, request: Request, exclude: list[str], *, static: bool) -> int:
    """Write the quantized model; return how many batches were seen."""
    from onnxruntime import quantization as ort

    try:
        with _quiet():
            if not static:
                ort.quantize_dynamic(
                    source,
                    target,
                    op_types_to_quantize=list(DYNAMIC_OPS),
                    nodes_to_exclude=exclude,
                    per_channel=True,
                    reduce_range=request.config.reduce_range,
                )
                return 0
            reader = _Reader(request)
            ort.quantize_static(
                source,
                target,
                reader,
                op_types_to_quantize=list(STATIC_OPS),
                nodes_to_exclude=exclude,
                per_channel=True,
                reduce_range=request.config.reduce_range,
                activation_type=ort.QuantType.QUInt8,
                weight_type=ort.QuantType.QInt8,
                calibrate_method=_method(request.config.calibrator),
                extra_options={"CalibPercentile": request.config.percentile},
            )
            return reader.seen
    except (ValueError, RuntimeError, TypeError) as error:
        raise QuantizeError(
            f"onnxruntime's quantizer refused the graph: {str(error).splitlines()[0]}",
            where=str(source),
            fix="try --mode dynamic, or --skip the node it names",
        ) from error


def _method(calibrator: str) -> Any:
    from onnxruntime.quantization import CalibrationMethod

    return {
        "minmax": CalibrationMethod.MinMax,
        "percentile": CalibrationMethod.Percentile,
        "entropy": CalibrationMethod.Entropy,
    }[calibrator]


class _Reader:
    """Hands checked calibration batches to onnxruntime, and counts them."""

    def __init__(self, request: Request) -> None:
        self._names = [s.name for s in request.signature.inputs]
        self._batches = [
            {name: tensor.numpy() for name, tensor in zip(self._names, batch, strict=True)}
            for batch in batches(request.calibration, request.signature)
        ]
        if not self._batches:
            raise EmptyData(
                "the calibration set is empty", where="calibration", fix="give at least one batch"
            )
        self.seen = 0

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch; None after the last."""
        if self.seen == len(self._batches):
            return None
        self.seen += 1
        return self._batches[self.seen - 1]

    def __len__(self) -> int:
        return len(self._batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Restart at a batch; the quantizer reads in strides."""
        self.seen = start_index


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantizer's advice to run its pre-processing out of the notebook.

    It gives it through the root logger, by which Python adds a handler there if it has none.
    """
    handlers = list(logging.root.handlers)
    try:
        with quiet("root"):
            yield
    finally:
        logging.root.handlers[:] = handlers


def _weight_bytes(model: Any) -> int:
    from onnx import numpy_helper

    return sum(numpy_helper.to_array(t).nbytes for t in model.graph.initializer)
