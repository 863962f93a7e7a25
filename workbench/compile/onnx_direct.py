"""ONNX forms of composite torch operators, so that most programs lower without being decomposed.

``torch.onnx.export`` first traces the whole program again to decompose it, which takes longer than all the
rest. The exporter translates most operators of a captured program as they are; these are the common ones it
knows only in pieces. What is in neither list goes the long way (:mod:`workbench.compile.onnx_lowering`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from onnxscript import opset20 as op

aten = torch.ops.aten


def _identity(x: Any, *_: Any, **__: Any) -> Any:
    return op.Identity(x)


def _to_dtype(x: Any, dtype: int, *_: Any, **__: Any) -> Any:
    return op.Cast(x, to=dtype)


def _dropout(x: Any, p: float, train: bool) -> Any:
    if train:
        raise NotImplementedError("dropout in training mode")
    return op.Identity(x)


def _batch_norm(
    x: Any, weight: Any, bias: Any, mean: Any, var: Any, training: bool, momentum: float, eps: float, *_: Any
) -> Any:
    if training:
        raise NotImplementedError("batch norm in training mode")
    weight = op.Div(var, var) if weight is None else weight
    bias = op.Sub(mean, mean) if bias is None else bias
    return op.BatchNormalization(x, weight, bias, mean, var, epsilon=eps)


def _lstm_cell(
    x: Any, state: Sequence[Any], w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None
) -> tuple[Any, Any]:
    """One step, gates in torch's order: input, forget, cell, output."""
    hidden, cell = state
    gates = op.Add(_product(x, w_ih, b_ih), _product(hidden, w_hh, b_hh))
    entry, forget, candidate, leaving = op.Split(gates, axis=1, num_outputs=4)
    kept = op.Mul(op.Sigmoid(forget), cell)
    cell = op.Add(kept, op.Mul(op.Sigmoid(entry), op.Tanh(candidate)))
    return op.Mul(op.Sigmoid(leaving), op.Tanh(cell)), cell


def _product(x: Any, weight: Any, bias: Any) -> Any:
    return op.Gemm(x, weight, transB=1) if bias is None else op.Gemm(x, weight, bias, transB=1)


def _select(x: Any, axis: int, index: Any) -> Any:
    """Two steps: OpenVINO, which moves scales of integers past a Gather, forgets that a scalar index drops an axis."""
    if not isinstance(index, int):
        return op.Gather(x, index, axis=axis)
    number: Any = op.Constant(value_ints=[index])
    dropped: Any = op.Constant(value_ints=[axis])
    return op.Squeeze(op.Gather(x, number, axis=axis), dropped)


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    aten.to.dtype: _to_dtype,
    aten.contiguous.default: _identity,
    aten.dropout.default: _dropout,
    aten.feature_dropout.default: _dropout,
    aten.batch_norm.default: _batch_norm,
    aten.lstm_cell.default: _lstm_cell,
    aten.select.int: _select,
}
