"""``workbench::embedding_int8``: look up rows of an int8 table and scale them.

y[..., :] = w_q[ids] * scale[ids]        w_q: [rows, width] int8, scale: [rows]
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


@torch.library.custom_op("workbench::embedding_int8", mutates_args=())
def embedding_int8(ids: Tensor, w_q: Tensor, scale: Tensor) -> Tensor:
    """Return the dequantized rows. ids: [...] -> [..., width].

    Examples
    --------
    >>> embedding_int8(torch.tensor([1]), torch.tensor([[1], [3]], dtype=torch.int8), torch.tensor([1.0, 2.0]))
    tensor([[6.]])
    """
    return w_q[ids].to(scale.dtype) * scale[ids].unsqueeze(-1)


@embedding_int8.register_fake
def _fake(ids: Tensor, w_q: Tensor, scale: Tensor) -> Tensor:
    return scale.new_empty((*ids.shape, w_q.shape[1]))


def _onnx(ids: Any, w_q: Any, scale: Any) -> Any:
    from onnxscript import opset20 as op

    last = op.Constant(value_ints=[-1])
    rows = op.Cast(op.Gather(w_q, ids), to=1)
    return op.Mul(rows, op.Unsqueeze(op.Gather(scale, ids), last))


TRANSLATIONS = {torch.ops.workbench.embedding_int8.default: _onnx}
