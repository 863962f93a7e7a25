"""Which module defines a namespace of custom torch operators, and how they lower to ONNX.

A program that holds ``torch.ops.workbench.*`` can be loaded only after the module that defines these
operators was imported. Level 0 may not import upward, so it knows them by name: a verb that defines
operators adds one line to :data:`LIBRARIES`, and whoever loads or lowers a program looks there.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.export import ExportedProgram


@dataclass(frozen=True)
class OperatorLibrary:
    """Where one namespace of operators lives.

    Parameters
    ----------
    module
        Importing it registers the operators with torch.
    onnx
        ``"module:function"``; the function takes nothing and returns the mapping from torch operator to
        onnxscript function that ``torch.onnx.export(custom_translation_table=...)`` takes.
    torch
        ``"module:function"``; the function takes nothing and returns the mapping from operator to a function of
        torch's own operators that ``ExportedProgram.run_decompositions`` takes.
    """

    module: str
    onnx: str
    torch: str


LIBRARIES: dict[str, OperatorLibrary] = {
    "workbench": OperatorLibrary(
        "workbench.quantize.ops",
        "workbench.quantize.ops:onnx_translations",
        "workbench.quantize.ops.decompositions:decompositions",
    ),
}
"""Custom operator libraries by torch namespace."""


def load_operators(namespaces: Iterable[str]) -> None:
    """Import the modules that define these namespaces; namespaces nobody registered are torch's own."""
    for namespace in _ours(namespaces):
        importlib.import_module(LIBRARIES[namespace].module)


def onnx_translations(namespaces: Iterable[str]) -> Mapping[Callable[..., Any], Callable[..., Any]]:
    """Return the ONNX translations of all operators in these namespaces."""
    return _tables(LIBRARIES[namespace].onnx for namespace in _ours(namespaces))


def decompositions(program: ExportedProgram) -> dict[Callable[..., Any], Callable[..., Any]]:
    """Return what the custom operators of a program are in torch's own, for compilers that know only those."""
    called = {node.target for node in program.graph.nodes if node.op == "call_function"}
    table = _tables(
        LIBRARIES[name].torch for name in _ours({getattr(one, "namespace", "") for one in called})
    )
    return {operator: function for operator, function in table.items() if operator in called}


def _ours(namespaces: Iterable[str]) -> list[str]:
    return sorted(set(namespaces) & set(LIBRARIES))


def _tables(places: Iterable[str]) -> dict[Callable[..., Any], Callable[..., Any]]:
    table: dict[Callable[..., Any], Callable[..., Any]] = {}
    for place in places:
        module, _, function = place.partition(":")
        table.update(getattr(importlib.import_module(module), function)())
    return table
