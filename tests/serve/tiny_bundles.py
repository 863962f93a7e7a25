"""Bundles of tiny ONNX models, written with the onnx package alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from safetensors.numpy import save_file

from workbench import codec
from workbench.types import Signature, TensorSpec

SIGNATURE = Signature(
    inputs=(TensorSpec("x", "float32", ("batch", 4)),),
    outputs=(TensorSpec("double", "float32", ("batch", 4)), TensorSpec("total", "float32", ("batch",))),
    output_structure="tuple",
)


def write_bundle(folder: Path) -> Path:
    """Write a model with one input ``x`` and two outputs, ``double = 2x`` and ``total = sum(x)``."""
    folder.mkdir(parents=True)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["x", "x"], ["double"]),
            helper.make_node("ReduceSum", ["x", "axes"], ["total"], keepdims=0),
        ],
        "tiny",
        [value("x", TensorProto.FLOAT, ["batch", 4])],
        [value("double", TensorProto.FLOAT, ["batch", 4]), value("total", TensorProto.FLOAT, ["batch"])],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, folder / "model.onnx")
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    save_file({"in.x": x, "out.double": 2 * x, "out.total": x.sum(1)}, folder / "examples.safetensors")
    (folder / "signature.json").write_text(codec.dumps(SIGNATURE))
    (folder / "backend.json").write_text(json.dumps({"backend": "onnxruntime"}))
    return folder
