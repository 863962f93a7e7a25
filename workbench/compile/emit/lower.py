"""Bring a program into operators that ``ops/`` knows: as it is if it can, decomposed by torch where it cannot."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from ...errors import CompileError
from ...recurrent import any_length
from ..onnx_lowering import has_onnx_form
from ..places import module_of
from .fold import is_foldable, parameters
from .registry import operators

_PYTHON = {"getitem"}


def lower(program: ExportedProgram) -> ExportedProgram:
    """Return the program in operators that can be written.

    Decomposition is the second choice: it fixes the number of steps of a recurrent layer.

    Raises
    ------
    CompileError
        If an operator cannot be written even when it is decomposed; names it, its module, and the backends
        that take it.
    """
    before = _unknown(program)
    if not before:
        return program
    decompositions: Any = torch.export.default_decompositions()
    table = {operator: how for operator, how in decompositions.items() if str(operator) not in operators()}
    with warnings.catch_warnings(), any_length():
        warnings.simplefilter("ignore")
        lowered: ExportedProgram = program.run_decompositions(table)
    after = _unknown(lowered)
    if after:
        raise _refusal(before[0], after[0])
    return lowered


def _unknown(program: ExportedProgram) -> list[Node]:
    """Return the nodes that can neither be written nor computed while compiling."""
    constants = {node for node, _ in parameters(program)}
    unknown = []
    for node in program.graph.nodes:
        if node.op == "call_function":
            if is_foldable(node, constants):
                constants.add(node)
            elif not _is_known(node):
                unknown.append(node)
    return unknown


def _is_known(node: Node) -> bool:
    if str(node.target) in operators() or getattr(node.target, "__name__", "") in _PYTHON:
        return True
    return not isinstance(node.meta.get("val"), torch.Tensor | tuple | list)  # arithmetic on sizes


def _refusal(before: Node, after: Node) -> CompileError:
    names = " -> ".join(dict.fromkeys((str(before.target), str(after.target))))
    takers = [*(["onnxruntime"] if has_onnx_form(before.target) else []), "eager"]
    return CompileError(
        f"the backend ternary has no C for the operator {names}",
        where=module_of(before),
        fix=f"express it with others, or use a backend that takes it: {', '.join(takers)}",
        operators=names,
        backends=takers,
    )
