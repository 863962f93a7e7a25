"""Lower a torch program to ONNX."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import CompileError
from ..operators import onnx_translations

if TYPE_CHECKING:
    import onnx_ir
    from torch.export import ExportedProgram

OPSET = 20  # the first with Gelu; the custom operators' translations are written in it

Table = Mapping[Callable[..., Any], Callable[..., Any]]


def lower(program: ExportedProgram) -> onnx_ir.Model:
    """Return the ONNX model of a program.

    The program may be changed; do not run it afterwards.

    Raises
    ------
    CompileError
        If an operator has no ONNX form; names it and the module it is in.
    """
    import torch

    from .onnx_direct import TRANSLATIONS

    custom = dict(onnx_translations(_namespaces(program)))
    if _is_functional(program):
        decompose = program.run_decompositions
        program.run_decompositions = lambda *_, **__: program
        try:
            return _export(program, {**TRANSLATIONS, **custom})
        except torch.onnx.OnnxExporterError:
            pass  # some operator has no direct form: decompose, as the exporter would
        finally:
            program.run_decompositions = decompose
    try:
        return _export(program, custom)
    except torch.onnx.OnnxExporterError as error:
        raise _explain(error, program) from error


def _namespaces(program: ExportedProgram) -> set[str]:
    return {
        node.target.namespace
        for node in program.graph.nodes
        if node.op == "call_function" and hasattr(node.target, "namespace")
    }


def _is_functional(program: ExportedProgram) -> bool:
    """Tell whether no operator writes to its input; decomposition would make the others pure."""
    return not any(
        getattr(getattr(node.target, "_schema", None), "is_mutable", False) for node in program.graph.nodes
    )


def _export(program: ExportedProgram, table: Table) -> onnx_ir.Model:
    import torch

    with _quiet():
        exported = torch.onnx.export(
            program,
            dynamo=True,
            optimize=False,  # would fold DequantizeLinear(int8 weights) back to float; onnxruntime folds at load
            verbose=False,
            opset_version=OPSET,
            custom_translation_table=dict(table),
        )
    if exported is None:
        raise CompileError("torch.onnx.export returned nothing", where="torch.onnx.export")
    return exported.model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's chatter out of the notebook: what matters comes back as an error."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _explain(error: Exception, program: ExportedProgram) -> CompileError:
    """Name the operator that the exporter could not translate and the module it came from."""
    text = _chain(error)
    for node in program.graph.nodes:
        if node.op == "call_function" and f"%{node.name} :" in text:
            stack = list((node.meta.get("nn_module_stack") or {}).values())
            module = stack[-1][0] if stack else ""
            return CompileError(
                f"ONNX has no form for the operator {node.target}",
                where=f"module {module!r}, node {node.name}",
                fix="use the backend eager, or express this operation with others",
            )
    first = str(error).strip().partition("\n")[0]
    return CompileError(
        f"the program cannot be lowered to ONNX: {first}",
        where="torch.onnx.export",
        fix="use the backend eager",
    )


def _chain(error: BaseException | None) -> str:
    return "" if error is None else f"{error}\n{_chain(error.__cause__)}"
