"""Run torch.export on bound inputs: dynamic dimensions in, a plain program out."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from typing import TYPE_CHECKING, Any

from ..errors import CaptureError
from ..quiet import quiet
from ..recurrent import any_length
from . import dims
from .blame import blame
from .guards import find_entangled
from .inputs import BoundInputs

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram


def export(module: nn.Module, bound: BoundInputs, wanted: dims.Wanted) -> ExportedProgram:
    """Return the exported program; a batch of one is widened first (see :func:`dims.widen`).

    Raises
    ------
    CaptureError
        If torch.export cannot follow the module.
    """
    program = _export_widened(module, bound, wanted)
    if not (entangled := find_entangled(program, bound)):
        return program
    for name, position in entangled:
        if wanted[name][position] is not None:
            raise CaptureError(
                f"dimension {position} of {name!r} cannot change on its own",
                where=type(module).__name__,
                fix='leave it out of dynamic="...", or use dynamic="auto"',
            )
        del wanted[name][position]
    return _export_widened(module, bound, wanted)


def _export_widened(module: nn.Module, bound: BoundInputs, wanted: dims.Wanted) -> ExportedProgram:
    wide = dims.widen(bound.tensors, wanted)
    try:
        return _export(module, bound, wide, wanted)
    except CaptureError:
        if all(wide[name] is tensor for name, tensor in bound.tensors.items()):
            raise
    # The model takes no batch of two. If it takes the batch of one it was given, that size is fixed.
    return _export(module, bound, bound.tensors, wanted)


def _export(
    module: nn.Module, bound: BoundInputs, tensors: Mapping[str, Tensor], wanted: dims.Wanted
) -> ExportedProgram:
    import torch
    from torch.utils import _pytree as pytree

    values = list(tensors.values())
    args, kwargs = pytree.tree_unflatten(values, pytree.tree_structure((bound.args, dict(bound.kwargs))))
    asked = _ask(tensors, wanted)
    shapes = pytree.tree_unflatten(
        [asked[name] for name in tensors], pytree.tree_structure(dict(bound.arguments))
    )
    try:
        with _quiet(), any_length():
            program = torch.export.export(
                module, args, kwargs, dynamic_shapes=shapes if wanted else None, strict=False
            )
    except Exception as error:
        raise blame(module, error) from error
    program.example_inputs = None
    _flatten_outputs(program)
    return program


def _ask(tensors: Mapping[str, Tensor], wanted: dims.Wanted) -> dict[str, dict[int, Any]]:
    """Return what torch.export takes: a ``Dim`` for each dynamic position, one ``Dim`` for equal names."""
    from torch.export import Dim

    named = {label: Dim(label) for where in wanted.values() for label in where.values() if label}
    return {
        name: {p: named[label] if label else Dim.AUTO for p, label in wanted.get(name, {}).items()}
        for name in tensors
    }


def _flatten_outputs(program: ExportedProgram) -> None:
    """Let the program return a plain tuple: a named tuple or a dataclass would tie it to the user's class."""
    from torch.utils import _pytree as pytree

    signature = program.module_call_graph[0].signature
    if signature is None or signature.out_spec is None:
        raise CaptureError("torch.export gave a program without a call signature")
    signature.out_spec = pytree.tree_structure(tuple(range(signature.out_spec.num_leaves)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch.export's notes out of the notebook: what matters comes back as an error."""
    # Before it raises, torch 2.13 prints the graph it had so far.
    with quiet("torch"), redirect_stderr(io.StringIO()):
        yield
