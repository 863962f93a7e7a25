"""Linear layers in torchao's 8-bit tensors, for a compiler that multiplies what they leave.

Weights are symmetric, a scale for each row, and so are activations where they are quantized, with scales found at each
call: ``_int_mm`` and arithmetic in float around it. :mod:`workbench.quantize` has finer grids; this is for those who
compare, or who know a model so.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Literal

from ..errors import InputError, missing_dependency
from ..quiet import quiet

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

Way = Literal["none", "int8-dynamic", "int8-weights"]
"""``int8-dynamic``: weights and activations; ``int8-weights``: weights only."""
_ENDLESS = 1 << 40
"""Bounds of sizes from here on are none."""


def with_torchao(program: ExportedProgram, leaves: list[Any], way: Way) -> ExportedProgram:
    """Return a program whose linear layers are 8-bit, with its weights as plain tensors.

    Parameters
    ----------
    program
        Of floats.
    leaves
        An example of each input, in order.
    way
        ``int8-dynamic`` or ``int8-weights``.

    Raises
    ------
    MissingDependency
        If torchao is not installed.
    InputError
        If the program has no linear layer.
    """
    import torch
    from torch.utils import _pytree as pytree

    spec = program.call_spec.in_spec
    assert spec is not None, "a captured program says how it is called"
    args, kwargs = pytree.tree_unflatten(leaves, spec)
    positional, named = pytree.tree_unflatten(_asked_sizes(program), spec)
    module: Any = program.module()
    with quiet("torchao", "torch"), torch.no_grad():  # which libraries for GPUs it cannot load
        _quantize(module, way)
        shapes = (*positional, *named.values())
        exported = torch.export.export(module, args, kwargs, dynamic_shapes=shapes, strict=False)
        plain: ExportedProgram = exported.run_decompositions({})
        return plain


def _quantize(module: Any, way: Way) -> None:
    """Replace the weight of every linear layer; torchao's tensors answer to the function, not to the operator."""
    import torch

    if importlib.util.find_spec("torchao") is None:
        raise missing_dependency("torchao", "torchao")
    from torchao import quantization

    config: Any = (
        quantization.Int8DynamicActivationInt8WeightConfig()
        if way == "int8-dynamic"
        else quantization.Int8WeightOnlyConfig()
    )
    done: dict[str, nn.Parameter] = {}
    for node in module.graph.nodes:
        if node.target is not torch.ops.aten.linear.default or node.args[1].op != "get_attr":
            continue
        name = str(node.args[1].target)
        if name not in done:
            weight = module.get_parameter(name)
            layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
            layer.weight = torch.nn.Parameter(weight.detach(), requires_grad=False)
            quantization.quantize_(torch.nn.Sequential(layer), config)
            done[name] = layer.weight
        node.target = torch.nn.functional.linear
    if not done:
        raise InputError(
            "torchao quantizes linear layers, and the program has none",
            where="torchao",
            fix="leave the option out; quantize() makes convolutions int8 too",
        )
    for name, parameter in done.items():
        owner, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(owner), leaf, parameter)
    module.recompile()


def _asked_sizes(program: ExportedProgram) -> list[dict[int, Any] | None]:
    """Return for each input which of its sizes vary, and within what bounds, as torch.export takes it."""
    import torch
    from torch.export import Dim

    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    dims: dict[str, Any] = {}

    def asked(size: torch.SymInt) -> Any:
        symbol = size.node.expr
        if not symbol.is_Symbol:
            return Dim.AUTO  # follows from others
        bounds = program.range_constraints[symbol]
        most = int(bounds.upper) if bounds.upper < _ENDLESS else None
        return dims.setdefault(str(symbol), Dim(str(symbol), min=int(bounds.lower), max=most))

    return [
        {i: asked(size) for i, size in enumerate(values[name].shape) if isinstance(size, torch.SymInt)}
        for name in program.graph_signature.user_inputs
    ]
