"""The folder that verbs exchange: a program, its signature, its examples.

::

    program.pt2 | program.onnx    the model
    signature.json                what it takes and gives
    examples.safetensors          "in.<input>" and "out.<output>": captured inputs and their eager outputs

Capture writes it, quantize rewrites it, compile reads it; siblings never import one another, so the reading
and writing live here. Only functions that touch the program itself import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import archive, codec
from .atomic import disk_guard, write_bytes
from .errors import CorruptArtifact, WorkbenchError
from .input_sizes import check_sizes, input_sizes
from .types import Signature

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor
    from torch.export import ExportedProgram

    Array = NDArray[Any]

PROGRAM_FILE = "program.pt2"
ONNX_FILE = "program.onnx"
SIGNATURE_FILE = "signature.json"
EXAMPLES_FILE = "examples.safetensors"


@dataclass(frozen=True)
class Examples:
    """Captured inputs and the outputs the program gives for them, by name."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


def write_program(folder: Path, program: ExportedProgram, signature: Signature, examples: Examples) -> None:
    """Fill a program folder: archive, signature and examples.

    Raises
    ------
    StorageFull
        If the device is full.
    """
    archive.save(program, folder / PROGRAM_FILE)
    write_signature(folder, signature)
    write_examples(folder, examples)


def read_program(folder: Path) -> ExportedProgram:
    """Return the program of a folder; the modules that define its custom operators are imported first.

    Raises
    ------
    CorruptArtifact
        If the file is missing, damaged, or could run code while it is loaded.
    """
    return archive.load(folder / PROGRAM_FILE)


def write_signature(folder: Path, signature: Signature) -> None:
    """Write a folder's signature."""
    write_bytes(folder / SIGNATURE_FILE, codec.dumps(signature).encode())


def read_signature(folder: Path) -> Signature:
    """Return a folder's signature.

    Raises
    ------
    CorruptArtifact
        If the file is missing or is not a signature.
    """
    path = folder / SIGNATURE_FILE
    try:
        signature = codec.loads(path.read_bytes())
    except (OSError, ValueError, WorkbenchError) as error:
        raise CorruptArtifact(f"the signature cannot be read: {error}", where=str(path)) from error
    if not isinstance(signature, Signature):
        raise CorruptArtifact("the file holds no signature", where=str(path))
    return signature


def write_examples(folder: Path, examples: Examples) -> None:
    """Write a folder's captured inputs and outputs."""
    import numpy
    from safetensors.numpy import save

    arrays = {f"in.{k}": v for k, v in examples.inputs.items()}
    arrays |= {f"out.{k}": v for k, v in examples.outputs.items()}
    with disk_guard(folder):
        write_bytes(folder / EXAMPLES_FILE, save({k: numpy.asarray(v, order="C") for k, v in arrays.items()}))


def read_examples(folder: Path) -> Examples:
    """Return a folder's captured inputs and outputs.

    Raises
    ------
    CorruptArtifact
        If the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / EXAMPLES_FILE
    try:
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CorruptArtifact(f"the examples cannot be read: {error}", where=str(path)) from error
    return Examples(_part(arrays, "in."), _part(arrays, "out."))


def _part(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def runner(
    program: ExportedProgram, signature: Signature
) -> Callable[[Mapping[str, Tensor]], dict[str, Tensor]]:
    """Return a function that runs the program in torch: tensors by input name to tensors by output name.

    The inputs go in as the captured module took them (positions, keywords, nested tuples).
    """
    import torch
    from torch.utils import _pytree as pytree

    takes = [s.name for s in signature.inputs]
    gives = [s.name for s in signature.outputs]
    state = _state_of_pure(program, len(takes))
    sizes = None if state is None else input_sizes(program, signature)
    # Without the module around the graph: its trees and hooks take longer than a small network.
    if state is not None and sizes is not None:
        call = program.graph_module.forward

        def run_graph(feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
            check_sizes(feeds, sizes)
            with torch.no_grad():
                values = call(*state, *[feeds[name] for name in takes])
            return dict(zip(gives, [v for v in values if isinstance(v, torch.Tensor)], strict=True))

        return run_graph
    module = program.module(check_guards=False)
    in_spec = program.call_spec.in_spec
    if in_spec is None:
        raise CorruptArtifact("the program does not say how it is called", where=PROGRAM_FILE)

    def run(feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        args, kwargs = pytree.tree_unflatten([feeds[name] for name in takes], in_spec)
        with torch.no_grad():
            leaves = pytree.tree_leaves(module(*args, **kwargs))
        # An output that is switched off is None in the program and has no name.
        return dict(zip(gives, [v for v in leaves if isinstance(v, torch.Tensor)], strict=True))

    return run


def _state_of_pure(program: ExportedProgram, inputs: int) -> list[Tensor] | None:
    """Return what the graph takes ahead of its inputs; None if it takes or gives more than tensors, or writes in place.

    What a graph writes to may be a buffer; where that belongs, only the module knows.
    """
    from torch.export.graph_signature import InputKind, OutputKind, TensorArgument

    specs = program.graph_signature.input_specs
    held = specs[: len(specs) - inputs]
    kinds = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)
    schemas = [getattr(node.target, "_schema", None) for node in program.graph.nodes]
    pure = (
        not any(schema is not None and schema.is_mutable for schema in schemas)
        and all(spec.kind in kinds for spec in held)
        and all(
            spec.kind == InputKind.USER_INPUT and isinstance(spec.arg, TensorArgument)
            for spec in specs[len(held) :]
        )
        and all(spec.kind == OutputKind.USER_OUTPUT for spec in program.graph_signature.output_specs)
    )
    if not pure:
        return None
    found = [program.state_dict.get(str(s.target), program.constants.get(str(s.target))) for s in held]
    return None if any(value is None for value in found) else [v.detach() for v in found if v is not None]


def as_module(folder: Path) -> torch.nn.Module:
    """Return the program of a folder as a torch module that is called, and answers, as the captured one.

    Raises
    ------
    CorruptArtifact
        If a file is missing or damaged.
    """
    import torch
    from torch.utils import _pytree as pytree

    signature = read_signature(folder)
    names = [spec.name for spec in signature.outputs]

    class Captured(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.program = read_program(folder).module(check_guards=False)

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            leaves = [
                v for v in pytree.tree_leaves(self.program(*args, **kwargs)) if isinstance(v, torch.Tensor)
            ]
            if signature.output_structure == "dict":
                return dict(zip(names, leaves, strict=True))
            return tuple(leaves) if signature.output_structure == "tuple" else leaves[0]

    return Captured()


def to_arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray[Any, Any]]:
    """Return tensors as numpy arrays, by the same names."""
    return {k: v.detach().cpu().numpy() for k, v in tensors.items()}
