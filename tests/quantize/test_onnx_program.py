"""A program that came as an ONNX file is quantized too, with the same report and the same refusals."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from workbench.capture import capture_onnx
from workbench.compile import CompileConfig, compile_program, load
from workbench.errors import EmptyData, NonFinite
from workbench.program import read_examples
from workbench.quantize import QuantizeConfig, quantize_program


def captured(folder: Path, weight: np.ndarray) -> Path:
    """Capture ``y = relu(x @ w)`` written by hand."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["h"], name="product"),
            helper.make_node("Relu", ["h"], ["y"], name="relu"),
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8])],
        [numpy_helper.from_array(weight, "w")],
    )
    folder.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "small.onnx")
    program = folder / "program"
    program.mkdir()
    capture_onnx(folder / "small.onnx", program)
    return program


@pytest.fixture
def weight() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)


@pytest.mark.parametrize("calibrator", [None, "minmax", "percentile", "entropy"])
def test_near_the_float_program_and_runnable(
    calibrator: str | None, weight: np.ndarray, tmp_path: Path
) -> None:
    program = captured(tmp_path / "source", weight)
    variant, compiled = tmp_path / "variant", tmp_path / "compiled"
    variant.mkdir()
    compiled.mkdir()
    draw = np.random.default_rng(1)
    batches = [{"x": draw.normal(size=(32, 16)).astype(np.float32)} for _ in range(4)] if calibrator else None
    config = QuantizeConfig(calibrator=calibrator or "minmax")
    report = quantize_program(program, variant, config, calibration=batches)
    assert [(r.layer, r.how) for r in report.layers] == [("product", "static" if calibrator else "dynamic")]
    assert report.share == 1
    assert report.calibration_batches == (4 if calibrator else 0)
    compile_program(variant, compiled, CompileConfig())
    inputs = read_examples(program).inputs
    exact, served = np.maximum(inputs["x"] @ weight, 0), load(compiled).run(dict(inputs))["y"]
    assert np.abs(exact - served).max() < 0.15 * np.abs(exact).max()


def test_skipped_nodes_stay_float(weight: np.ndarray, tmp_path: Path) -> None:
    program = captured(tmp_path / "source", weight)
    variant = tmp_path / "variant"
    variant.mkdir()
    report = quantize_program(program, variant, QuantizeConfig(skip=("prod*",)))
    assert not report.layers
    assert [(s.layer, s.why) for s in report.skipped] == [("product", "skipped by name")]


def test_an_empty_calibration_set(weight: np.ndarray, tmp_path: Path) -> None:
    program = captured(tmp_path / "source", weight)
    with pytest.raises(EmptyData, match="calibration set is empty"):
        quantize_program(program, tmp_path, QuantizeConfig(), calibration=[])


def test_nan_weights_are_named(weight: np.ndarray, tmp_path: Path) -> None:
    weight[3, 3] = np.nan
    with pytest.raises(NonFinite) as caught:
        quantize_program(captured(tmp_path / "source", weight), tmp_path, QuantizeConfig())
    assert "w" in str(caught.value)


def dense(folder: Path, transposed: int) -> Path:
    """Capture two Gemm layers written by hand, as exporters of linear layers write them."""
    draw = np.random.default_rng(0)
    shape = (8, 16) if transposed else (16, 8)
    tensors = [
        numpy_helper.from_array(draw.normal(size=size).astype(np.float32), name)
        for name, size in (("w0", shape), ("b0", (8,)), ("w1", shape[::-1]), ("b1", (16,)))
    ]
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w0", "b0"], ["h"], name="up", transB=transposed),
            helper.make_node("Gemm", ["h", "w1", "b1"], ["y"], name="down", transB=transposed),
        ],
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 16])],
        tensors,
    )
    folder.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "dense.onnx")
    program = folder / "program"
    program.mkdir()
    capture_onnx(folder / "dense.onnx", program)
    return program


@pytest.mark.parametrize("transposed", [0, 1])
def test_the_report_tells_what_became_of_each_gemm(transposed: int, tmp_path: Path) -> None:
    program, variant = dense(tmp_path / "source", transposed), tmp_path / "variant"
    variant.mkdir()
    report = quantize_program(program, variant, QuantizeConfig(skip=("down",)))
    assert [row.layer for row in report.layers] == ["up"]
    assert [s.layer for s in report.skipped] == ["down"]
    model = onnx.load(variant / "program.onnx")
    integers = [
        list(t.dims) for t in model.graph.initializer if t.data_type == TensorProto.INT8 and len(t.dims) == 2
    ]
    assert integers == [[16, 8]]


def test_the_users_logging_is_as_it_was(weight: np.ndarray, tmp_path: Path) -> None:
    program = captured(tmp_path / "source", weight)
    (tmp_path / "variant").mkdir()
    root = logging.getLogger()
    asked, handlers = root.manager.disable, list(root.handlers)
    root.handlers.clear()  # as in a program that has set up none
    logging.disable(logging.INFO)
    try:
        quantize_program(program, tmp_path / "variant", QuantizeConfig())
        assert root.manager.disable == logging.INFO
        assert not root.handlers
    finally:
        logging.disable(asked)
        root.handlers[:] = handlers
