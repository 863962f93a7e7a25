"""Which operators are computed while compiling, because all they take is known."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Node

_GROWTH = 4  # a constant may be this many times what it is computed from, else it is computed at each call
_SMALL = 1 << 20  # bytes that are never too many


def parameters(program: ExportedProgram) -> Iterator[tuple[Node, Any]]:
    """Yield the placeholders no caller fills, and the spec of each."""
    nodes = [node for node in program.graph.nodes if node.op == "placeholder"]
    for node, spec in zip(nodes, program.graph_signature.input_specs, strict=True):
        if spec.kind != InputKind.USER_INPUT:
            yield node, spec


def is_foldable(node: Node, known: Container[Node]) -> bool:
    """Tell whether a node can be computed from the `known` ones."""
    value = node.meta.get("val")
    return (
        isinstance(value, torch.Tensor)
        and all(isinstance(size, int) for size in value.shape)
        and all(source in known for source in node.all_input_nodes)
        and hasattr(node.target, "_schema")
        and torch.Tag.nondeterministic_seeded not in getattr(node.target, "tags", ())
    )


def is_worth_it(node: Node) -> bool:
    """Tell whether storing the result is cheap enough."""
    value = node.meta["val"]
    given = sum(source.meta["val"].nbytes for source in node.all_input_nodes)
    return bool(value.nbytes <= max(_GROWTH * given, _SMALL))


def compute(node: Node, known: dict[Node, torch.Tensor]) -> torch.Tensor:
    """Return the value of a foldable node."""
    arguments = torch.fx.node.map_arg(node.args, lambda n: known[n])
    keywords = torch.fx.node.map_arg(node.kwargs, lambda n: known[n])
    with torch.no_grad():
        result: torch.Tensor = node.target(*arguments, **keywords)  # type: ignore[operator]
    return result
