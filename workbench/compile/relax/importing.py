"""From a program folder to a Relax module: by torch.export, or from the ONNX file it came as."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection
from typing import Any

from ...errors import CompileError
from ..onnx_lowering import has_onnx_form
from ..places import module_of
from ..source import Source
from . import rows
from .linked import KEPT, Linker, Unconvertible
from .package import compiler

_ADVICE = "use a backend that takes it"


def to_relax(source: Source, *, linked: bool, theirs: Collection[str] = ()) -> Any:
    """Return the program as a Relax module whose function ``main`` returns a tuple.

    Parameters
    ----------
    source
        The program or variant.
    linked
        Let our kernels serve the operators they know, see :mod:`.linked`.
    theirs
        Names of operators (as :func:`decomposed` has them) that TVM's schedules serve all the same.

    Raises
    ------
    CompileError
        If an operator has no form in Relax; names it, its module and the backends that take it.
    """
    return _from_onnx(source) if source.is_onnx else _from_torch(source, linked, theirs)


def _from_torch(source: Source, linked: bool, theirs: Collection[str]) -> Any:
    compiler()
    from tvm.relax.frontend.torch import from_exported_program

    _check_recurrent(source)
    before = [node for node in source.program.graph.nodes if node.op == "call_function"]
    lowered = decomposed(source.program, linked)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            converters = Linker(lowered, linked, theirs).converters()
            return from_exported_program(lowered, custom_convert_map=converters, run_ep_decomposition=False)
    except CompileError:
        raise
    except Unconvertible as error:
        raise _refusal(error.node, before) from error
    except Exception as error:
        lines = str(error).strip().splitlines()
        raise CompileError(
            f"TVM cannot take the program: {lines[-1] if lines else type(error).__name__}",
            where="torch.export program",
            fix=f"{_ADVICE}: onnxruntime, eager",
        ) from error


_STEPS = re.compile(r"aten\.(lstm|gru|rnn_\w+)\.")


def _check_recurrent(source: Source) -> None:
    """Refuse a recurrent layer over a changing number of steps: TVM unrolls it."""
    for node in source.program.graph.nodes:
        if node.op == "call_function" and _STEPS.match(str(node.target)):
            batch_first = bool(node.args[-1])
            steps = node.args[0].meta["val"].shape[1 if batch_first else 0]
            if not isinstance(steps, int):
                raise CompileError(
                    f"TVM unrolls the recurrent layer {node.target}, so it takes one number of steps only",
                    where=module_of(node),
                    fix='capture it with that dimension fixed (dynamic="none"), or use the backend onnxruntime,'
                    " ternary or eager",
                    operators=str(node.target),
                    backends=["onnxruntime", "ternary", "eager"],
                )


def decomposed(program: Any, linked: bool) -> Any:
    """Return the program in core operators; our custom ones become what their reference computes."""
    import torch
    from torch._library.custom_ops import OPDEFS

    defaults: Any = torch.export.default_decompositions()
    table: dict[Any, Any] = dict(defaults.items())
    for name, definition in OPDEFS.items():
        if name.startswith("workbench::"):
            table[getattr(torch.ops.workbench, name.partition("::")[2]).default] = definition._init_fn
    kept = (*KEPT, *rows.kept(program)) if linked else ()
    table = {operator: how for operator, how in table.items() if str(operator) not in kept}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return program.run_decompositions(table)


def _refusal(node: Any, before: list[Any]) -> CompileError:
    """Name the operator, as it stands in the module's code where that can be said."""
    path = module_of(node)
    same = [one for one in before if module_of(one) == path and str(one.target) != str(node.target)]
    source = [str(one.target) for one in same if str(node.target) not in map(str, before)][-1:]
    takers = [*(["onnxruntime"] if has_onnx_form(node.target) else []), "eager"]
    return CompileError(
        f"TVM has no form for the operator {' -> '.join([*source, str(node.target)])}",
        where=path,
        fix=f"{_ADVICE}: {', '.join(takers)}",
        operators=str(node.target),
        backends=takers,
    )


def _from_onnx(source: Source) -> Any:
    tvm = compiler()
    import onnx
    from tvm.relax.frontend.onnx import from_onnx

    model = onnx.load(str(source.file))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = from_onnx(model, keep_params_in_input=False, sanitize_input_names=False)
    except Exception as error:
        lines = str(error).strip().splitlines()
        raise CompileError(
            f"TVM cannot take the ONNX file: {lines[-1] if lines else type(error).__name__}",
            where=str(source.file),
            fix=f"{_ADVICE}: onnxruntime",
        ) from error
    return tvm.relax.transform.DecomposeOpsForInference()(module)
