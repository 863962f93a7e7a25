"""Every kind of layer becomes int8, stays near its float self, and means the same in onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from workbench.capture import capture_module
from workbench.compile import CompileConfig, compile_program, load
from workbench.program import read_examples
from workbench.quantize import QuantizeConfig, quantize_program

LEAST_SQNR_DB = 20.0  # a hundredth of the signal's power


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.cell = kind(8, 16, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cell(x)[0]


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


KINDS = {
    "linear": (lambda: nn.Linear(12, 7), (4, 12)),
    "conv1d": (lambda: nn.Conv1d(3, 8, 3), (2, 3, 16)),
    "conv2d": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()), (2, 3, 8, 8)),
    "depthwise": (lambda: nn.Conv2d(4, 4, 3, groups=4), (2, 4, 8, 8)),
    "conv3d": (lambda: nn.Conv3d(2, 4, 2), (2, 2, 5, 5, 5)),
    "conv_transpose": (lambda: nn.ConvTranspose2d(3, 5, 2, stride=2), (2, 3, 6, 6)),
    "lstm": (lambda: Recurrent(nn.LSTM), (2, 5, 8)),
    "gru": (lambda: Recurrent(nn.GRU), (2, 5, 8)),
    "attention": (Attention, (2, 5, 16)),
}


def captured(folder: Path, module: nn.Module, example: torch.Tensor) -> Path:
    folder.mkdir()
    capture_module(module.eval(), (example,), folder, dynamic="none")
    return folder


def sqnr_db(reference: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10((reference**2).sum() / max(((reference - other) ** 2).sum(), 1e-30)))


@pytest.mark.parametrize("mode", ["dynamic", "static"])
@pytest.mark.parametrize("kind", KINDS)
def test_near_the_float_layer_and_equal_in_onnxruntime(kind: str, mode: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    make, shape = KINDS[kind]
    example = torch.randn(shape)
    program = captured(tmp_path / "program", make(), example)
    variant, compiled = tmp_path / "variant", tmp_path / "compiled"
    variant.mkdir()
    compiled.mkdir()
    calibration = [example, torch.randn(shape)] if mode == "static" else None
    report = quantize_program(program, variant, QuantizeConfig(mode=mode), calibration=calibration)
    assert report.layers
    assert report.share > 0.6
    float_output = next(iter(read_examples(program).outputs.values()))
    examples = read_examples(variant)
    assert sqnr_db(float_output, next(iter(examples.outputs.values()))) > LEAST_SQNR_DB
    compile_program(variant, compiled, CompileConfig())  # raises where onnxruntime and eager differ
    served = next(iter(load(compiled).run(dict(examples.inputs)).values()))
    assert sqnr_db(float_output, served) > LEAST_SQNR_DB


def test_embedding(tmp_path: Path) -> None:
    torch.manual_seed(0)
    program = captured(tmp_path / "program", nn.Embedding(50, 8), torch.tensor([[1, 4], [49, 0]]))
    variant = tmp_path / "variant"
    variant.mkdir()
    report = quantize_program(program, variant, QuantizeConfig())
    assert [row.kind for row in report.layers] == ["embedding"]
    assert report.size_ratio < 0.5
    before, after = (read_examples(f).outputs["output"] for f in (program, variant))
    assert sqnr_db(before, after) > 35


def test_tied_weights_are_counted_and_stored_once(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(30, 16)
            self.head = nn.Linear(16, 30, bias=False)
            self.head.weight = self.table.weight

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.head(self.table(ids))

    torch.manual_seed(0)
    program = captured(tmp_path / "program", Tied(), torch.tensor([[1, 2, 3]]))
    variant = tmp_path / "variant"
    variant.mkdir()
    report = quantize_program(program, variant, QuantizeConfig())
    assert sum(row.parameters for row in report.layers) == 480
    assert report.share <= 1


def test_skipped_layers_say_why(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    program = captured(tmp_path / "program", module, torch.randn(2, 4))
    variant = tmp_path / "variant"
    variant.mkdir()
    report = quantize_program(program, variant, QuantizeConfig(skip=("1",)))
    assert [row.layer for row in report.layers] == ["0"]
    assert [(s.layer, s.why) for s in report.skipped] == [("1", "skip '1'")]


def test_a_channel_of_zeros(tmp_path: Path) -> None:
    layer = nn.Linear(4, 3)
    with torch.no_grad():
        layer.weight[1] = 0
    program = captured(tmp_path / "program", layer, torch.randn(2, 4))
    variant = tmp_path / "variant"
    variant.mkdir()
    quantize_program(program, variant, QuantizeConfig())
    assert np.isfinite(read_examples(variant).outputs["output"]).all()


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    example = torch.randn(2, 3, 8, 8)
    program = captured(tmp_path / "program", nn.Conv2d(3, 4, 3), example)
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        quantize_program(program, folder, QuantizeConfig(), calibration=[example])
    a, b = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in folders)
    assert a == b
