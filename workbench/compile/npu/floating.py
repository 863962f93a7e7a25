"""A quantized program as the float network it stands for, with the grids it was given: what an NPU's compiler takes.

That compiler has a quantizer of its own. It finds our int8 weights again, because each row of them reaches 127 on the
grid it came from; the activations' grids are handed to it. What our program leaves in float (the result, a grid found
at each call) gets a grid from the captured inputs, and so does one of the several results of a call.
"""

from __future__ import annotations

import operator
from typing import Any

from ...errors import CompileError
from ..places import module_of

Grids = dict[int, tuple[float, int]]
"""Step and zero point (of uint8) by the place of a call in the graph, -1 for the input."""
_PAIR = "workbench.quantize_dequantize.default"
_WEIGHT = "workbench.dequantize.default"
_LINEAR = ("workbench.linear_static.default", "workbench.linear_dynamic.default")


def floating(program: Any) -> tuple[Any, Grids]:
    """Return a quantized program as a module in torch's own operators, and the grids of its activations.

    Parameters
    ----------
    program
        A ``torch.export.ExportedProgram`` of int8 layers.

    Raises
    ------
    CompileError
        If a layer is not int8, with its module.
    """
    import torch

    module = program.module(check_guards=False)
    graph, found = module.graph, dict[Any, tuple[float, int]]()
    for node in list(graph.nodes):
        name = str(node.target)
        if name == _PAIR:
            x, step, zero_point = node.args
            found[x] = (step, zero_point)
            node.replace_all_uses_with(x)
        elif name == _WEIGHT:
            _put(module, node, node.target(*(_value(module, argument) for argument in node.args)))
        elif name in _LINEAR:
            x, *grid, w_q, w_scale, bias = (*node.args, None)[: 6 if name == _LINEAR[0] else 4]
            if grid:
                found[x] = (grid[0], grid[1])
            weight = _value(module, w_q).float() * _value(module, w_scale)[:, None]
            with graph.inserting_before(node):
                made = graph.call_function(
                    torch.ops.aten.linear.default, (x, _attribute(module, node, weight), bias)
                )
            node.replace_all_uses_with(made)
        elif name.startswith("workbench."):
            raise CompileError(
                f"an NPU has no form for {name.removesuffix('.default')}",
                where=module_of(node),
                fix="quantize to int8: %mlops quantize NAME --mode static, or give the float program",
            )
    graph.eliminate_dead_code()
    module.recompile()
    given = [node for node in graph.nodes if node.op == "placeholder"]
    calls = [
        node for node in graph.nodes if node.op == "call_function" and node.target is not operator.getitem
    ]
    place = {node: number for number, node in enumerate([*given, *calls], -1)}
    return module, {place[node]: grid for node, grid in found.items() if node in place}


def _value(module: Any, argument: Any) -> Any:
    """Return a constant argument's value."""
    if getattr(argument, "op", "") != "get_attr":
        return argument
    return operator.attrgetter(argument.target)(module).detach()


def _put(module: Any, node: Any, value: Any) -> None:
    """Let a constant stand where a node was."""
    with module.graph.inserting_before(node):
        node.replace_all_uses_with(_attribute(module, node, value))


def _attribute(module: Any, node: Any, value: Any) -> Any:
    name = f"floating_{node.name}"
    module.register_buffer(name, value)
    return module.graph.get_attr(name)
