"""Capture a torch module: torch.export with dynamic dimensions, checked against the module itself."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CaptureError, CorruptArtifact
from ..program import PROGRAM_FILE, Examples, runner, to_arrays, write_program
from ..types import OutputStructure, Signature
from . import dims
from .blame import blame
from .edges import float32_edges
from .export import export
from .inputs import BoundInputs, bind_inputs
from .outputs import name_outputs
from .report import CaptureReport, dynamic_names, write_record
from .untouched import evaluating
from .weights import check_weights, count_parameters, main_dtype

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram


def capture_module(
    module: nn.Module, inputs: Any, out: Path, *, dynamic: str = "auto", preprocessing: str = ""
) -> CaptureReport:
    """Capture a module with example inputs into the folder `out`.

    The module itself is left as it was: mode, buffers and random state are restored. Inputs and outputs in bfloat16
    become float32 ones, which hold the same numbers (:mod:`workbench.capture.edges`).

    Parameters
    ----------
    module
        Any module on the CPU.
    inputs
        A tensor, a tuple or list of tensors in the order of ``forward``, or a dict by parameter name.
    out
        An existing folder that the program is written to.
    dynamic
        ``auto``, ``none``, or dimensions such as ``"ids:0=batch,1=tokens;mask:0=batch,1=tokens"``.
    preprocessing
        Declared preprocessing, recorded in the signature: ``"module:function"`` or source text.

    Raises
    ------
    BadTensor, EmptyData, NonFinite
        If the inputs do not fit, or a weight or an input holds NaN or Inf.
    CaptureError
        If torch.export cannot follow the module; names the submodule and the line.

    Examples
    --------
    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = capture_module(torch.nn.Linear(4, 2), torch.zeros(3, 4), Path(folder))
    >>> report.parameters, report.dynamic, report.signature.outputs[0].shape
    (10, ('batch',), ('batch', 2))
    """
    start = time.perf_counter()
    check_weights(module)
    bound = bind_inputs(module, inputs)
    wanted = dims.parse(dynamic, bound.tensors)
    with evaluating(module), float32_edges(module, bound, _forward(module, bound)) as (bound, expected):
        structure, outputs = name_outputs(expected, type(module).__name__)
        program = export(module, bound, wanted)
        signature = _signature(program, bound, outputs, wanted, structure, preprocessing)
        given = runner(program, signature)(bound.tensors)
    _compare(given, outputs, type(module).__name__, main_dtype(module))
    _write(out, program, signature, Examples(to_arrays(bound.tensors), to_arrays(given)))
    parameters = count_parameters(module)
    write_record(out, signature, parameters=parameters, dtype=main_dtype(module), producer=_producer())
    size = (out / PROGRAM_FILE).stat().st_size
    return CaptureReport(signature, parameters, size, time.perf_counter() - start, dynamic_names(signature))


def _forward(module: nn.Module, bound: BoundInputs) -> Any:
    try:
        return module(*bound.args, **bound.kwargs)
    except Exception as error:
        raise blame(module, error) from error


def _signature(
    program: ExportedProgram,
    bound: BoundInputs,
    outputs: Mapping[str, Tensor],
    wanted: dims.Wanted,
    structure: OutputStructure,
    preprocessing: str,
) -> Signature:
    """Read sizes from the program's symbolic shapes, names and dtypes from the tensors."""
    values = {n.name: n.meta.get("val") for n in program.graph.nodes}
    takes = [values[str(name)] for name in program.graph_signature.user_inputs]
    gives = [values[str(name)] for name in program.graph_signature.user_outputs if name is not None]
    shapes = {name: value.shape for name, value in zip(bound.tensors, takes, strict=True)}
    names = dims.Names(shapes, wanted)
    return Signature(
        tuple(names.spec(n, _dtype(t), shapes[n]) for n, t in bound.tensors.items()),
        tuple(names.spec(n, _dtype(t), v.shape) for (n, t), v in zip(outputs.items(), gives, strict=True)),
        structure,
        preprocessing,
    )


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _compare(given: Mapping[str, Tensor], expected: Mapping[str, Tensor], module: str, dtype: str) -> None:
    """Raise unless the program gives what the module gave, but for a few roundings in `dtype`.

    In eval mode torch runs some layers (attention) by kernels of its own, which round elsewhere than the program.
    """
    import torch

    step = torch.finfo(getattr(torch, dtype)).eps if dtype in ("float16", "bfloat16") else 0.0
    for name, tensor in expected.items():
        near = 1e-5
        if tensor.is_floating_point() and tensor.numel():
            near += 4 * step * float(tensor.double().nan_to_num(0.0, 0.0, 0.0).abs().max())
        same = given[name].shape == tensor.shape and torch.allclose(
            given[name].double(), tensor.double(), rtol=1e-3, atol=near, equal_nan=True
        )
        if not same:
            raise CaptureError(
                f"output {name!r} of the captured program differs from the module's",
                where=module,
                fix="forward must give the same each time: no random numbers, no state kept in attributes",
            )


def _write(out: Path, program: ExportedProgram, signature: Signature, examples: Examples) -> None:
    try:
        write_program(out, program, signature, examples)
    except CorruptArtifact as error:  # what would not be loaded again is not written either
        raise CaptureError(
            f"the captured program cannot be stored; {error.what}",
            where=error.where,
            fix="use torch's own operators, or name the library that defines it in workbench.operators.LIBRARIES",
        ) from error


def _producer() -> str:
    import torch

    return f"torch {torch.__version__}"
