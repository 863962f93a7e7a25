"""Layers that are split among threads give the bits of one thread."""

import numpy
import pytest
import torch
from torch import nn

from workbench.capture import capture_module
from workbench.compile import CompileConfig, compile_program, load
from workbench.quantize import QuantizeConfig, quantize_program


class Layers(nn.Module):
    """Each kind of float work that is split, large enough to be; widths that divide by nothing."""

    def __init__(self):
        super().__init__()
        self.wide, self.tall = nn.Linear(130, 2051), nn.Linear(2051, 17)
        self.image = nn.Conv2d(6, 38, 3, padding=1, groups=2)
        self.planes = nn.Conv2d(38, 38, 5, padding=2, groups=38)
        self.attention = nn.MultiheadAttention(66, 11, batch_first=True)
        self.cells = nn.LSTM(66, 130, batch_first=True)
        self.gates = nn.GRU(66, 30, bidirectional=True)

    def forward(self, x, image, words):
        y = self.tall(torch.relu(self.wide(x)))
        planes = self.planes(self.image(image))
        flat = planes.flatten(2)
        mixed = self.attention(words, words, words, need_weights=False)[0]
        both = flat @ flat.transpose(1, 2)  # computed on both sides
        return y, planes, both, self.cells(mixed)[0], self.gates(mixed.transpose(0, 1))[0]


def test_float_layers(build_c):
    torch.manual_seed(0)
    inputs = (torch.randn(9, 130), torch.randn(2, 6, 31, 33), torch.randn(9, 37, 66))
    out = build_c(Layers(), inputs, dynamic="none")
    source = (out / "mlops_model.c").read_text()
    assert "tern_run(" in source
    feeds = dict(zip(("x", "image", "words"), (tensor.numpy() for tensor in inputs), strict=True))
    alone = load(out).run(feeds)
    for threads in (2, 3, 8):
        together = load(out, threads=threads)
        for _ in range(3):
            given = together.run(feeds)
            assert all(numpy.array_equal(given[name], alone[name]) for name in alone)


@pytest.mark.parametrize("scheme", ["int8", "int4"])
def test_integer_layers(tmp_path, scheme):
    torch.manual_seed(0)
    program, variant, out = (tmp_path / name for name in ("program", "variant", "out"))
    for folder in (program, variant, out):
        folder.mkdir()
    inputs = torch.randn(3, 700)
    capture_module(
        nn.Sequential(nn.Linear(700, 1501), nn.ReLU(), nn.Linear(1501, 70)).eval(), inputs, program
    )
    quantize_program(program, variant, QuantizeConfig(scheme))
    compile_program(variant, out, CompileConfig("ternary"))
    assert (scheme == "int4") == ("linear_int4(" in (out / "mlops_model.c").read_text())
    alone, together = load(out), load(out, threads=4)
    feeds = {"input": inputs.numpy()}
    expected = alone.run(feeds)["output"]
    assert all(numpy.array_equal(together.run(feeds)["output"], expected) for _ in range(3))


def test_a_model_without_split_layers_has_no_threads(build_c):
    out = build_c(nn.GELU(), torch.randn(3, 4))
    assert "tern_run" not in (out / "mlops_model.c").read_text()
