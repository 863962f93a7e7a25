"""Which module defines a namespace of custom torch operators, and how they lower to ONNX.

A program that holds ``torch.ops.workbench.*`` can be loaded only after the module that defines these
operators was imported. Level 0 may not import upward, so it knows them by name: a verb that defines
operators adds one line to :data:`LIBRARIES`, and whoever loads or lowers a program looks there.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any


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
    """

    module: str
    onnx: str


LIBRARIES: dict[str, OperatorLibrary] = {
    "workbench": OperatorLibrary("workbench.quantize.ops", "workbench.quantize.ops:onnx_translations"),
}
"""Custom operator libraries by torch namespace."""


def load_operators(namespaces: Iterable[str]) -> None:
    """Import the modules that define these namespaces; namespaces nobody registered are torch's own."""
    for namespace in sorted(set(namespaces) & set(LIBRARIES)):
        importlib.import_module(LIBRARIES[namespace].module)


def onnx_translations(namespaces: Iterable[str]) -> Mapping[Callable[..., Any], Callable[..., Any]]:
    """Return the ONNX translations of all operators in these namespaces."""
    table: dict[Callable[..., Any], Callable[..., Any]] = {}
    for namespace in sorted(set(namespaces) & set(LIBRARIES)):
        module, _, function = LIBRARIES[namespace].onnx.partition(":")
        table.update(getattr(importlib.import_module(module), function)())
    return table
