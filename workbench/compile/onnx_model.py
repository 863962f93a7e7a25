"""Tidy an ONNX model and write it: equal models give equal bytes, weights lie in a file of their own."""

from __future__ import annotations

import ast
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CorruptArtifact
from ..types import Signature
from .places import NO_MODULE

if TYPE_CHECKING:
    import onnx_ir

SCHEMES = (
    "none",
    "int8-auto",
    "int8-static",
    "int8-dynamic",
    "int8-smooth",
    "int8-weights",
    "int4-32",
    "int4-128",
)
"""Number formats worth measuring in what runs ONNX models: their operators have a form there that is fused."""
WEIGHTS_FILE = "weights.bin"
_INLINE = 1024  # bytes: shapes, scales and zero points stay in the graph, where shape inference can see them
"""What the exporter notes as the module of an operator that it added itself."""
_PAGE = 4096  # a weight that starts on a page can be mapped as it is


def read_onnx(path: Path) -> onnx_ir.Model:
    """Return the model of an ONNX file.

    Raises
    ------
    CorruptArtifact
        If it cannot be read.
    """
    import onnx_ir

    try:
        return onnx_ir.load(path)
    except Exception as error:
        raise CorruptArtifact(
            f"the ONNX file cannot be read: {error}", where=str(path), fix="capture it again"
        ) from error


def write_onnx(model: onnx_ir.Model, path: Path, signature: Signature) -> None:
    """Tidy the model and write ``model.onnx`` with ``weights.bin`` beside it.

    Inputs, outputs and their sizes carry the signature's names. The graph is not optimized:
    onnxruntime does that when it loads, for the CPU it finds, and folding here would turn int8 weights back
    into float.
    """
    import onnx_ir

    _name_ports(model, signature)
    _name_nodes(model)
    _turn_weights(model)
    _tidy(model)
    _name_sizes(model, signature)
    onnx_ir.save(
        model,
        path,
        external_data=WEIGHTS_FILE,
        size_threshold_bytes=_INLINE,
        alignment=_PAGE,
        align_threshold=_PAGE,
    )
    weights = path.with_name(WEIGHTS_FILE)
    if not weights.stat().st_size:
        weights.unlink()  # a small model fits into the graph


def _name_ports(model: onnx_ir.Model, signature: Signature) -> None:
    """Give inputs and outputs, which come in the signature's order, its names."""
    import onnx_ir

    graph = model.graph
    for index, value in enumerate(graph.outputs):
        if value.is_graph_input() or value in graph.outputs[:index] or value.is_initializer():
            node = onnx_ir.node("Identity", [value])  # one value cannot carry two names
            node.outputs[0].type, node.outputs[0].shape = value.type, value.shape
            graph.append(node)
            graph.outputs[index] = node.outputs[0]
    ports = [
        *zip(graph.inputs, signature.inputs, strict=True),
        *zip(graph.outputs, signature.outputs, strict=True),
    ]
    taken = {spec.name for _, spec in ports}
    inner = [value for node in graph.all_nodes() for value in node.outputs]
    for value in [*inner, *graph.initializers.values()]:
        if value.name in taken:
            value.name = f"{value.name}.inner"
    for value, spec in ports:
        value.name = spec.name


def _name_nodes(model: onnx_ir.Model) -> None:
    """Name nodes ``module/value.Operator`` and values ``module/value``: profilers show these names."""
    taken: set[str] = set()
    for node in model.graph.all_nodes():
        module, value_name = origin(node)
        if not value_name:
            continue
        name = f"{module}/{value_name}.{node.op_type}"
        number = next(n for n in count(1) if f"{name}{n}" not in taken) if name in taken else ""
        node.name = f"{name}{number}"
        taken.add(node.name)
        for value in node.outputs:
            if not value.is_graph_output():
                value.name = f"{module}/{value.name}"


def origin(node: onnx_ir.Node) -> tuple[str, str]:
    """Return the module a node came from and its name there, as the exporter noted them; empty texts if it did not."""
    try:
        found = ast.literal_eval(node.metadata_props.get("pkg.torch.onnx.name_scopes", "[]"))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        found = []  # somebody else's file notes something else there
    scopes = [str(one) for one in found] if isinstance(found, list) else []
    module = next((one for one in reversed(scopes[:-1]) if one and not one.startswith(NO_MODULE)), "")
    return module, scopes[-1] if scopes else ""


def _turn_weights(model: onnx_ir.Model) -> None:
    """Store integer weights as the products read them, where nothing else reads them.

    OpenVINO multiplies integers only where it finds the weight right below the DequantizeLinear; behind a Transpose it
    folds both into a float matrix.
    """
    import onnx_ir

    integer = (onnx_ir.DataType.INT8, onnx_ir.DataType.UINT8)
    for node in list(model.graph):
        weight = node.inputs[0] if node.op_type == "Transpose" else None
        if weight is None or weight.const_value is None or weight.dtype not in integer:
            continue
        if not weight.is_initializer() or weight.is_graph_input() or len(weight.uses()) > 1:
            continue
        if weight.is_graph_output() or node.outputs[0].is_graph_output():
            continue
        perm = node.attributes.get("perm")  # without it the axes are reversed
        turned = weight.const_value.numpy().transpose(None if perm is None else perm.as_ints()).copy()
        weight.const_value = onnx_ir.tensor(turned, name=weight.name)
        weight.shape = onnx_ir.Shape(turned.shape)
        node.outputs[0].replace_all_uses_with(weight)
        model.graph.remove(node, safe=True)


def _tidy(model: onnx_ir.Model) -> None:
    """Remove what does no work, and everything that tells where or when the model was made."""
    from onnx_ir.passes import common

    for each in (
        common.IdentityEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedFunctionsPass(),  # type: ignore[no-untyped-call]
        common.RemoveUnusedOpsetsPass(),
        common.ClearMetadataAndDocStringPass(),
    ):
        each(model)
    model.metadata_props.clear()
    model.doc_string = None
    for values in (model.graph.inputs, model.graph.outputs, model.graph.initializers.values()):
        for value in values:
            value.metadata_props.clear()
            value.doc_string = None


def _name_sizes(model: onnx_ir.Model, signature: Signature) -> None:
    """Give inputs and outputs the sizes of the signature; drop the sizes in between, which ONNX infers."""
    import onnx_ir

    for node in model.graph.all_nodes():
        for value in node.outputs:
            if not value.is_graph_output():
                value.shape = None
            value.metadata_props.clear()
    specs = {spec.name: spec for spec in (*signature.inputs, *signature.outputs)}
    for value in (*model.graph.inputs, *model.graph.outputs):
        if value.name in specs:
            value.shape = onnx_ir.Shape(specs[value.name].shape)
