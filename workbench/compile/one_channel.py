"""Give integer convolutions of one input channel a second one of zeros: inductor computes them wrongly.

``torch._inductor.mkldnn_ir`` (torch 2.13), where sizes are dynamic, takes the output of a convolution whose input has
one channel to be contiguous, as the float kernel leaves it then. The integer kernel ``onednn::qconv_pointwise`` always
leaves channels last, so what follows reads the values in another order. With two channels both agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import Node


def widen(program: ExportedProgram) -> None:
    """Rewrite, in place, every integer convolution that reads one channel.

    Parameters
    ----------
    program
        Its convolutions read ``workbench::quantize_dequantize`` and ``workbench::dequantize``, as the scheme int8
        leaves them.
    """
    import torch

    aten, own = torch.ops.aten, torch.ops.workbench
    kinds = {aten.conv1d.default, aten.conv2d.default, aten.conv3d.default}
    kinds |= {aten.conv1d.padding, aten.conv2d.padding, aten.conv3d.padding}
    targets = {spec.arg.name: spec.target for spec in program.graph_signature.input_specs}
    widened: set[str] = set()
    for node in [n for n in program.graph.nodes if n.target in kinds]:
        x, weight = node.args[0], node.args[1]
        integer = x.target is own.quantize_dequantize.default and weight.target is own.dequantize.default
        if not integer or x.meta["val"].shape[1] != 1:
            continue
        held = weight.args[0]
        if held.name not in widened:
            widened.add(held.name)
            _widen_weight(program, held, str(targets[held.name]))
        node.update_arg(0, _wide_input(program.graph, x))


def _widen_weight(program: ExportedProgram, held: Node, target: str) -> None:
    import torch

    store: dict[str, Any] = program.state_dict if target in program.state_dict else program.constants
    q = store[target]
    store[target] = torch.cat((q, torch.zeros_like(q)), 1)
    held.meta["val"] = held.meta["val"].new_empty(store[target].shape)


def _wide_input(graph: Any, rounded: Node) -> Node:
    """Return the rounded activation with a channel of zeros behind its own, which is rounded to zeros again."""
    import torch

    aten = torch.ops.aten
    x, scale, zero_point = rounded.args
    value = x.meta["val"]  # type: ignore[union-attr]
    with graph.inserting_before(rounded):
        zeros = graph.call_function(aten.zeros_like.default, (x,))
        wide = graph.call_function(aten.cat.default, ([x, zeros], 1))
        new: Node = graph.call_function(rounded.target, (wide, scale, zero_point))
    zeros.meta["val"] = aten.zeros_like.default(value)
    wide.meta["val"] = new.meta["val"] = aten.cat.default([value, zeros.meta["val"]], 1)
    return new
