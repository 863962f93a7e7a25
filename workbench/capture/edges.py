"""bfloat16 at the edges of a module: requests are numpy arrays, which have no such type, so float32 crosses instead.

Every bfloat16 number is a float32 number. What comes in is rounded where the module begins, which changes nothing for
a caller who has bfloat16; what goes out is widened.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from .inputs import BoundInputs


@contextlib.contextmanager
def float32_edges(module: nn.Module, bound: BoundInputs, expected: Any) -> Iterator[tuple[BoundInputs, Any]]:
    """Let `module` take and give float32 where `bound` and `expected` hold bfloat16; yield both, so widened.

    Its ``forward`` is another while the context is open, so that the names of its layers stay what they are.
    """
    from torch.utils import _pytree as pytree

    halves = [_is_half(leaf) for leaf in pytree.tree_leaves((bound.args, dict(bound.kwargs)))]
    if not any(halves) and not any(map(_is_half, pytree.tree_leaves(expected))):
        yield bound, expected
        return
    inside, own = module.forward, "forward" in vars(module)

    @functools.wraps(inside)
    def forward(*args: Any, **kwargs: Any) -> Any:
        leaves, form = pytree.tree_flatten((args, kwargs))
        given = [leaf.bfloat16() if half else leaf for leaf, half in zip(leaves, halves, strict=True)]
        args, kwargs = pytree.tree_unflatten(given, form)
        return _widened(inside(*args, **kwargs))

    module.forward = forward
    try:
        parts = ("args", "kwargs", "arguments", "tensors")
        yield replace(bound, **{part: _widened(getattr(bound, part)) for part in parts}), _widened(expected)
    finally:
        if own:
            module.forward = inside
        else:
            del module.forward


def _is_half(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16


def _widened(value: Any) -> Any:
    from torch.utils import _pytree as pytree

    return pytree.tree_map(lambda leaf: leaf.float() if _is_half(leaf) else leaf, value)
