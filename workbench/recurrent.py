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
    """Trace recurrent operators by their shapes; torch's own way is restored on exit."""
    import torch
    from torch._dispatch.python import enable_python_dispatcher

    aten = torch.ops.aten
    ours: dict[Any, Any] = {aten.lstm.input: _lstm, aten.gru.input: _gru}
    before = {op: dict(op.py_kernels) for op in ours}
    for op, shapes in ours.items():
        op.py_kernels.update(dict.fromkeys(_keys(), shapes))
        op._dispatch_cache.clear()
    try:
        with enable_python_dispatcher():  # or the loop runs in C++, where nothing can take its place
            yield
    finally:
        for op, kernels in before.items():
            op.py_kernels.clear()
            op.py_kernels.update(kernels)
            op._dispatch_cache.clear()


def _keys() -> tuple[Any, Any]:
    """Return the dispatch keys under which torch 2.13 unrolls: with gradients on, and off."""
    from torch._C import DispatchKey

    return DispatchKey.Autograd, DispatchKey.CompositeImplicitAutograd


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
