"""Let torch trace LSTM and GRU without unrolling them over time.

torch 2.13 learns the output shape of a recurrent operator by running its decomposition, a Python loop over
time steps; the loop fixes the number of steps, although the operator that ends up in the graph takes any. The
shapes are known without it: :func:`any_length` puts them in the loop's place while a program is traced.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def any_length() -> Iterator[None]:
    """Trace recurrent operators by their shapes; restores torch's own way on exit.

    Examples
    --------
    >>> import torch
    >>> dynamic = ({0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.AUTO},)
    >>> with any_length(), torch.no_grad():
    ...     program = torch.export.export(torch.nn.GRU(4, 6), (torch.zeros(5, 2, 4),), dynamic_shapes=dynamic)
    >>> program.module()(torch.zeros(9, 3, 4))[0].shape
    torch.Size([9, 3, 6])
    """
    import torch

    key = torch._C.DispatchKey.CompositeImplicitAutograd
    ours = {torch.ops.aten.lstm.input: _lstm, torch.ops.aten.gru.input: _gru}
    before = {op: op.py_kernels.get(key) for op in ours}
    for op, shapes in ours.items():
        op.py_kernels[key] = shapes
    try:
        yield
    finally:
        for op, kernel in before.items():
            if kernel is None:
                del op.py_kernels[key]
            else:
                op.py_kernels[key] = kernel


def _lstm(
    x: Tensor, state: list[Tensor], params: Any, has_biases: bool, layers: int, dropout: float, train: bool,
    bidirectional: bool, batch_first: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    hidden, cell = state
    return _steps(x, hidden, bidirectional), hidden.clone(), cell.clone()


def _gru(
    x: Tensor, hidden: Tensor, params: Any, has_biases: bool, layers: int, dropout: float, train: bool,
    bidirectional: bool, batch_first: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    return _steps(x, hidden, bidirectional), hidden.clone()


def _steps(x: Tensor, hidden: Tensor, bidirectional: bool) -> Tensor:
    """Return an output of every step. x: [batch, time, in] or [time, batch, in]; hidden: [layers, batch, out]."""
    return x.new_empty((*x.shape[:-1], hidden.shape[-1] * (2 if bidirectional else 1)))
