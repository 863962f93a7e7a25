"""Which function writes which operator: one line a family in ``ops/``.

An emitting function takes the :class:`~workbench.compile.emit.emitter.Emitter` and the node, and returns what
the node stands for from then on: a tensor, an expression, or a tuple of them.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import Any

Operation = Any
"""A torch.fx.Node: only its operator knows the types of its arguments."""

Emit = Callable[[Any, Operation], Any]
_OPERATORS: dict[str, Emit] = {}


def operator(*names: str) -> Callable[[Emit], Emit]:
    """Register the function that writes operators, by their names such as ``aten.relu.default``."""

    def add(function: Emit) -> Emit:
        _OPERATORS.update(dict.fromkeys(names, function))
        return function

    return add


@cache
def operators() -> dict[str, Emit]:
    """Return every operator that can be written, and by what."""
    package = importlib.import_module(f"{__package__}.ops")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return _OPERATORS
