"""Lower a torch program to ONNX."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..errors import CompileError, missing_dependency
from ..operators import onnx_translations
from ..quiet import quiet
from ..recurrent import any_length
from .onnx_model import read_onnx
from .places import module_of

if TYPE_CHECKING:
    import onnx_ir
    from torch.export import ExportedProgram

    from .source import Source

_FAILED_NODE = re.compile(r"translating node %(\w+) : .*?target=([\w.]+)\]")
_ADVICE = "use the backend eager, or express this operation with others"
OPSET = 20  # the first with Gelu; the custom operators' translations are written in it

Table = Mapping[Callable[..., Any], Callable[..., Any]]


def model_of(source: Source, forms: Table = MappingProxyType({})) -> onnx_ir.Model:
    """Return a source as an ONNX model, not yet tidied: its nodes still say which module they came from.

    Parameters
    ----------
    source
        A torch program, or an ONNX file, which is read as it is.
    forms
        What the reader of the model wants some torch operators to become.

    Raises
    ------
    MissingDependency
        If a package that only compiling needs is not installed.
    CorruptArtifact
        If an ONNX file cannot be read.
    CompileError
        If an operator has no ONNX form.
    """
    for package in ("onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            raise missing_dependency(package, "onnx")
    return read_onnx(source.file) if source.is_onnx else lower(source.program, forms)


def lower(program: ExportedProgram, forms: Table = MappingProxyType({})) -> onnx_ir.Model:
    """Return the ONNX model of a program; `forms` as for :func:`model_of`.

    The program may be changed; do not run it afterwards.

    Raises
    ------
    CompileError
        If an operator has no ONNX form; names it and the module it is in.
    """
    import torch

    from .onnx_direct import TRANSLATIONS

    custom = {**onnx_translations(_namespaces(program)), **forms}
    failures: list[Exception] = []
    if _is_functional(program):
        decompose = program.run_decompositions
        program.run_decompositions = lambda *_, **__: program
        try:
            return _export(program, {**TRANSLATIONS, **custom})
        except torch.onnx.OnnxExporterError as error:
            failures.append(error)  # some operator has no direct form: decompose, as the exporter would
        finally:
            program.run_decompositions = decompose
    try:
        return _export(program, custom)
    except torch.onnx.OnnxExporterError as error:
        raise _explain(program, [*failures, error]) from error


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

    with quiet("torch.onnx"), contextlib.redirect_stdout(io.StringIO()), any_length():
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


def _explain(program: ExportedProgram, errors: Sequence[Exception]) -> CompileError:
    """Name the operator that has no ONNX form and the module it came from.

    The last error names it as it stands after decomposition, where its module is not known any more; an
    earlier one, from before, names it as the module's code does.
    """
    found = [match for error in errors if (match := _FAILED_NODE.search(_chain(error)))]
    if not found:
        first = str(errors[-1]).strip().partition("\n")[0]
        return CompileError(
            f"the program cannot be lowered to ONNX: {first}", where="torch.onnx.export", fix=_ADVICE
        )
    modules = {node.name: module_of(node) for node in program.graph.nodes}
    module = next((modules[match[1]] for match in found if match[1] in modules), "the module itself")
    operators = " -> ".join(dict.fromkeys(match[2] for match in found))
    return CompileError(
        f"ONNX has no form for the operator {operators}",
        where=module,
        fix=_ADVICE,
        operators=operators,
    )


def _chain(error: BaseException | None) -> str:
    return "" if error is None else f"{error}\n{_chain(error.__cause__)}"


def has_onnx_form(operator: Any) -> bool:
    """Tell whether ONNX has a form for a torch operator."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    custom = onnx_translations({getattr(operator, "namespace", "")})
    with quiet("torch.onnx"), contextlib.redirect_stdout(io.StringIO()):
        return operator in custom or ONNXRegistry.from_torchlib().is_registered(operator)
