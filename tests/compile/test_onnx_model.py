"""ONNX files as they are written: names of nodes, and what somebody else's file notes."""

import numpy
import onnx
import onnx.parser
import pytest
import torch
from torch import nn

from workbench.capture import capture_module, capture_onnx
from workbench.compile import CompileConfig, compile_program, load

pytest.importorskip("onnxruntime")


def folders(root):
    for name in ("program", "out"):
        (root / name).mkdir()
    return root / "program", root / "out"


def test_nodes_are_named_after_their_module(tmp_path):
    program, out = folders(tmp_path)
    capture_module(nn.Sequential(nn.Linear(4, 4), nn.ReLU()).eval(), torch.randn(2, 4), program)
    compile_program(program, out, CompileConfig("onnxruntime"))
    names = [node.name for node in onnx.load(out / "model.onnx", load_external_data=False).graph.node]
    assert len(set(names)) == len(names)
    assert {name.partition("/")[0] for name in names} == {"0", "1"}


@pytest.mark.parametrize("noted", ["Dense", "f(", "3", "[" * 5000])
def test_a_file_that_notes_something_else_compiles(tmp_path, noted):
    program, out = folders(tmp_path)
    text = '<ir_version: 10, opset_import: ["" : 20]> g (float[n, 4] x) => (float[n, 4] y) { y = Relu(x) }'
    model = onnx.parser.parse_model(text)
    model.graph.node[0].metadata_props.add(key="pkg.torch.onnx.name_scopes", value=noted)
    onnx.save(model, tmp_path / "model.onnx")
    capture_onnx(tmp_path / "model.onnx", program)
    compile_program(program, out, CompileConfig("onnxruntime"))
    x = -numpy.ones((2, 4), "float32")
    assert not load(out).run({"x": x})["y"].any()


def test_a_weight_that_a_file_reverses_is_turned(tmp_path):
    program, out = folders(tmp_path)
    text = """<ir_version: 10, opset_import: ["" : 20]> g (float[n, 2] x) => (float[n, 3] y)
        <int8[3, 2] w = {1, 2, 3, 4, 5, 6}, float s = {0.5}>
        { t = Transpose(w)  d = DequantizeLinear(t, s)  y = MatMul(x, d) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "model.onnx")
    capture_onnx(tmp_path / "model.onnx", program)
    compile_program(program, out, CompileConfig("onnxruntime", tolerance_rel=1e-2))  # it rounds x to int8 too
    assert "Transpose" not in [node.op_type for node in onnx.load(out / "model.onnx").graph.node]
    y = load(out).run({"x": numpy.array([[1, 10]], "float32")})["y"]
    assert y == pytest.approx(numpy.array([[10.5, 21.5, 32.5]]), rel=1e-2)


class Cell(nn.Module):
    """One step of an LSTM cell on all that a strided convolution leaves of a sound: one column, for some lengths."""

    def __init__(self):
        super().__init__()
        self.convolution, self.cell = nn.Conv1d(1, 4, 8, stride=8), nn.LSTMCell(4, 3)

    def forward(self, sound, hidden, cell):
        return self.cell(self.convolution(sound).squeeze(-1), (hidden, cell))


def test_an_lstm_cell_after_an_axis_that_is_one_for_every_length(tmp_path):
    program, out = folders(tmp_path)
    torch.manual_seed(0)
    capture_module(Cell().eval(), (torch.randn(2, 1, 10), torch.randn(2, 3), torch.randn(2, 3)), program)
    report = compile_program(program, out, CompileConfig("onnxruntime"))
    assert report.max_abs_error < 1e-5
    assert any(11 in case.values() for case in report.checked)
