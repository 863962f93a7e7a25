"""Which values of a program are the outputs of its layers, and a program that gives all of them.

A layer is the innermost module an operator was called in, with the activation that follows it at once: backends compute
the two as one. Its output is the last value computed there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...types import Signature, TensorSpec

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import Node

    from ...quantize.edit import Editor


ITSELF = "(the module itself)"
"""The layer of what is called outside of any module in the captured one."""


@dataclass(frozen=True)
class Layered:
    """A program with its layers.

    Parameters
    ----------
    editor
        Holds it, batch norms folded, so that float and quantized programs have the same layers.
    outputs
        The value each layer gives, by the module's path, in order.
    paths
        The layer of every value, by the value's name in the graph.
    owners
        The layer of every module: its own, or for an activation the one ahead of it.
    """

    editor: Editor
    outputs: dict[str, Node]
    paths: dict[str, str]
    owners: dict[str, str]


def layered(program: ExportedProgram) -> Layered:
    """Return the layers of a program."""
    from ...quantize.activations import anchor
    from ...quantize.assign import prepared

    editor = prepared(program)
    outputs: dict[str, Node] = {}
    paths: dict[str, str] = {}
    owners: dict[Node, str] = {}
    modules: dict[str, str] = {}
    for node in editor.graph.nodes:
        if node.op != "call_function":
            continue
        path = paths[node.name] = owners.get(node) or _owner(node, owners)
        if (last := anchor(node)) is not node:
            owners[last] = path
        elif _is_float(node):
            outputs.pop(path, None)
            outputs[path] = node
        modules[_path(node)] = path
    return Layered(editor, outputs, paths, modules)


def _owner(node: Node, owners: Mapping[Node, str]) -> str:
    """Return the layer of a node; what rounds an activation belongs to the layer that ends with it."""
    if "quantize_dequantize" in str(node.target) and node.args[0] in owners:
        return owners[node.args[0]]  # type: ignore[index]
    return _path(node)


def _path(node: Node) -> str:
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack and stack[-1][0] else ITSELF


def _is_float(node: Node) -> bool:
    value: Any = node.meta.get("val")
    return bool(hasattr(value, "is_floating_point") and value.is_floating_point() and value.dim() > 0)


def tapped(
    layers: Layered, wanted: list[str], signature: Signature
) -> tuple[ExportedProgram, Signature, dict[str, str]]:
    """Return the program with the outputs of layers behind its own, its signature, and the outputs' names by layer."""
    editor = layers.editor
    own = {node: spec.name for node, spec in zip(editor.results, signature.outputs, strict=True)}
    names = {path: own.get(layers.outputs[path], f"layer_{n}") for n, path in enumerate(wanted)}
    further = [
        (name, layers.outputs[path]) for path, name in names.items() if layers.outputs[path] not in own
    ]
    more = [_spec(name, node.meta["val"]) for name, node in further]
    editor.also_return([node for _, node in further])
    taken = Signature(signature.inputs, (*signature.outputs, *more), output_structure="tuple")
    return editor.finish(), taken, names


def _spec(name: str, value: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else str(size) for size in value.shape)
    return TensorSpec(name, str(value.dtype).removeprefix("torch."), shape)
