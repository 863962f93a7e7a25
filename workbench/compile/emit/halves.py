"""float16 and bfloat16 programs: computed in float32, rounded where the caller sees it and where the program converts.

Weights are exact in float32. What lies between two operators keeps its float32 bits, so a compiled model is nearer to
the exact result than torch eager, which rounds after each operator.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

_HALVES = (torch.float16, torch.bfloat16)
_MARK = "half"


def widen_values(program: ExportedProgram) -> None:
    """Note float32 as the dtype of every half-precision value of the graph; :func:`half_of` remembers which it was."""
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, torch.Tensor) and value.dtype in _HALVES:
            node.meta[_MARK] = str(value.dtype).removeprefix("torch.")
        if isinstance(value, torch.Tensor | tuple | list):
            node.meta["val"] = _each(value)


def _each(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(_each(item) for item in value)
    return widened(value) if isinstance(value, torch.Tensor) else value


def widened(value: torch.Tensor) -> torch.Tensor:
    """Return a tensor as it is, one of half precision in float32."""
    return value.to(torch.float32) if value.dtype in _HALVES else value


def half_of(node: Any) -> str:
    """Return the half-precision dtype a value had in the program; empty if it had another."""
    return str(node.meta.get(_MARK, "")) if isinstance(node, Node) else ""
