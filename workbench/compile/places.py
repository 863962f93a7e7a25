"""Which module of the network an operator comes from, as errors and comments say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.fx import Node

NO_MODULE = "_empty_nn_module_stack"
"""What torch notes, with a number behind it, where it traced no module."""


def module_path(node: Node) -> str:
    """Return the path of the module a node comes from, empty for the outermost."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = str(stack[-1][0]) if stack else ""
    return "" if path.startswith(NO_MODULE) else path


def module_of(node: Node) -> str:
    """Return the module a node comes from, in words."""
    path = module_path(node)
    return f"module {path!r}" if path else "the module itself"
