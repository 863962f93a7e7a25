"""Operators of several backends side by side: by what they do, since each backend names and fuses them differently."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .operator_times import Operator

_GROUPS = {
    "recurrent": "lstm|gru|rnn",
    "attention": "attention|sdpa|mha",
    "convolution": "conv(?!ert)",
    "product": "linear|gemm|matmul|dense|fullyconnected|addmm|_mm|bmm|int4",
    "normalization": "norm|mvn",
    "softmax": "softmax",
    "pooling": "pool",
    "lookup": "gather|embedding|take",
    "rounding": "quantize",
    "activation": "gelu|relu|silu|sigmoid|tanh|erf",
    "moving": "transpose|reshape|concat|slice|split|permute|view|expand|reorder|shape|alloc|copy|cast|convert|vm\\.",
}
"""What the name of a kernel says it does; of a fused one the first here that fits, which takes most of its time."""
OTHER = "elementwise"
_BEHIND = 1 / 0.9
"""More than this many times the other's time is worth a reason."""
_DISPATCH_S = 3e-6
"""A kernel of less is mostly the way to it."""


@dataclass(frozen=True)
class Group:
    """What one model's operators of one sort take together.

    Parameters
    ----------
    seconds, calls
        Of one pass.
    flops
        Operations; 0 where none of them tells.
    kernels
        Names of the slowest of them.
    """

    seconds: float
    calls: float
    flops: float
    kernels: tuple[str, ...]


def group_of(kind: str) -> str:
    """Return what an operator does.

    Examples
    --------
    >>> group_of("MatMulIntegerToFloat"), group_of("fused_conv2d_add_relu"), group_of("Add")
    ('product', 'convolution', 'elementwise')
    """
    lower = kind.lower()
    return next((name for name, words in _GROUPS.items() if re.search(words, lower)), OTHER)


def grouped(found: Sequence[Operator]) -> dict[str, Group]:
    """Return a model's operators by what they do, the slowest group first."""
    parts: dict[str, list[Operator]] = {}
    for one in found:
        parts.setdefault(group_of(one.kind), []).append(one)
    groups = {
        name: Group(
            sum(one.seconds for one in rows),
            sum(one.calls for one in rows),
            sum(one.flops or 0.0 for one in rows),
            tuple(dict.fromkeys(one.kind for one in sorted(rows, key=lambda one: -one.seconds)))[:2],
        )
        for name, rows in parts.items()
    }
    return dict(sorted(groups.items(), key=lambda item: -item[1].seconds))


def reason(first: Group | None, other: Group | None, peak: float) -> str:
    """Return why the other takes longer than the first for the same sort of work; empty where it does not.

    Parameters
    ----------
    first, other
        Of two models; None where one has no such operator.
    peak
        Operations a second that one thread of this machine reaches.

    Examples
    --------
    >>> fast, slow = Group(1e-3, 2, 1e8, ("Gemm",)), Group(4e-3, 2, 1e8, ("fused_matmul",))
    >>> reason(fast, slow, 2e11)
    '12% of the peak for 50%'
    """
    if other is None or (first is not None and other.seconds <= first.seconds * _BEHIND):
        return ""
    if first is None:
        return "the first fuses it into other operators, or needs none"
    said = []
    if first.flops and other.flops:
        rates = (one.flops / one.seconds / peak for one in (other, first))
        said.append("{:.0%} of the peak for {:.0%}".format(*rates))
    if other.calls > first.calls:
        said.append(f"{other.calls:g} kernels for {first.calls:g}")
    if other.seconds / other.calls < _DISPATCH_S:
        said.append(f"{other.seconds / other.calls * 1e6:.2g} us a kernel: the way to it")
    return ", ".join(said) or "slower kernels"
