"""What int8 makes of a graph: forms of a layer, modes, tied weights, what is left alone and why."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workbench.errors import NonFinite
from workbench.quantize.numeric import sqnr_db


class Matmul(nn.Module):
    """Products with a parameter, as functional code writes them."""

    def __init__(self, form):
        super().__init__()
        self.form = form
        self.w = nn.Parameter(torch.randn(24, 24) * 0.2)
        self.b = nn.Parameter(torch.randn(24))

    def forward(self, x):
        if self.form == "addmm":
            return torch.addmm(self.b, x, self.w)
        return x @ (self.w.t() if self.form == "transposed" else self.w)


class Recurrent(nn.Module):
    """A recurrent layer that returns its sequence."""

    def __init__(self, cell, **options):
        super().__init__()
        self.cell = cell(12, 10, batch_first=True, **options)

    def forward(self, x):
        return self.cell(x)[0]


IMAGE, LINE, VOLUME = (2, 4, 9, 9), (2, 4, 15), (2, 3, 5, 6, 6)
FORMS = {
    "linear 3-d": (lambda: nn.Linear(24, 16, bias=False), (3, 5, 24), {"linear"}),
    "matmul": (lambda: Matmul("plain"), (3, 24), {"linear"}),
    "matmul transposed": (lambda: Matmul("transposed"), (3, 24), {"linear"}),
    "addmm": (lambda: Matmul("addmm"), (3, 24), {"linear"}),
    "conv2d same": (lambda: nn.Conv2d(4, 8, 3, padding="same"), IMAGE, {"conv2d"}),
    "conv2d grouped": (lambda: nn.Conv2d(4, 8, 3, groups=4, bias=False), IMAGE, {"conv2d"}),
    "conv3d": (lambda: nn.Conv3d(3, 8, 3), VOLUME, {"conv3d"}),
    "transpose1d": (lambda: nn.ConvTranspose1d(4, 8, 2, stride=2), LINE, {"conv_transpose"}),
    "transpose2d": (lambda: nn.ConvTranspose2d(4, 8, 2, groups=2), IMAGE, {"conv_transpose"}),
    "transpose3d": (lambda: nn.ConvTranspose3d(3, 8, 2), VOLUME, {"conv_transpose"}),
    "lstm": (lambda: Recurrent(nn.LSTM, num_layers=2, bidirectional=True), (2, 7, 12), {"recurrent"}),
    "rnn": (lambda: Recurrent(nn.RNN, bias=False), (2, 7, 12), {"recurrent"}),
}


@pytest.mark.parametrize("calibrated", [False, True], ids=["no data", "calibrated"])
@pytest.mark.parametrize("name", FORMS)
def test_forms_of_a_layer(bench, name, calibrated):
    build, shape, kinds = FORMS[name]
    x = torch.randn(shape)
    outcome, before, after = bench.quantize(build(), x, [x, torch.randn(shape)] if calibrated else None)
    assert {row.kind for row in outcome.layers} == kinds
    assert not outcome.skipped
    assert sqnr_db(before, after) > 25
    assert all((row.output_sqnr_db is not None) is calibrated for row in outcome.layers)
    output, _ = bench.onnx(outcome.program, x)
    assert sqnr_db(after, output) > 40


@pytest.mark.parametrize("name", FORMS)
def test_weights_alone_keep_activations_float(bench, name):
    build, shape, _ = FORMS[name]
    outcome, before, after = bench.quantize(build(), torch.randn(shape), mode="weights")
    assert {row.how for row in outcome.layers} == {"weights"}
    assert sqnr_db(before, after) > 35


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_modes(bench, mode):
    x = torch.randn(4, 4, 9, 9)
    net = nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 49, 5))
    outcome, before, after = bench.quantize(net, x, [x], mode=mode)
    ways = {row.layer: row.how for row in outcome.layers}
    assert ways == {"0": "static" if mode == "static" else "weights", "3": mode}
    assert sqnr_db(before, after) > 25


def test_auto_without_data_leaves_activations_alone(bench):
    outcome, _, _ = bench.quantize(nn.Sequential(nn.Conv1d(4, 8, 3), nn.Linear(13, 5)), torch.randn(LINE))
    assert {row.layer: row.how for row in outcome.layers} == {"0": "weights", "1": "dynamic"}
    assert outcome.calibration_batches == 0


def test_auto_gives_an_outlier_channel_a_grid_per_token(bench):
    x = torch.randn(64, 32)
    x[0, 0] = 3000.0  # one token, one channel: no grid for all tokens can hold it and the rest
    outcome, before, after = bench.quantize(nn.Linear(32, 16), x, [x])
    assert outcome.layers[0].how == "dynamic"
    assert sqnr_db(before[1:], after[1:]) > 30
    _, before, after = bench.quantize(nn.Linear(32, 16), x, [x], mode="static")
    assert sqnr_db(before[1:], after[1:]) < 15


class Tied(nn.Module):
    """A language model whose output layer is its embedding table."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(40, 16)
        self.head = nn.Linear(16, 40, bias=False)
        self.head.weight = self.table.weight

    def forward(self, ids):
        return self.head(self.table(ids))


def test_a_tied_weight_is_kept_once(bench):
    ids = torch.randint(0, 40, (2, 5))
    outcome, before, after = bench.quantize(Tied(), ids)
    assert sorted(row.parameters for row in outcome.layers) == [0, 640]
    held = [t for t in outcome.program.state_dict.values() if t.dtype == torch.int8]
    assert [tuple(t.shape) for t in held] == [(40, 16)]
    assert sqnr_db(before, after) > 30
    output, _ = bench.onnx(outcome.program, ids)
    torch.testing.assert_close(output, after, rtol=1e-3, atol=1e-3)


def test_a_shared_module_is_two_rows_and_one_weight(bench):
    layer = nn.Linear(16, 16)
    outcome, _, _ = bench.quantize(nn.Sequential(layer, nn.ReLU(), layer), torch.randn(3, 16))
    assert sorted(row.layer for row in outcome.layers) == ["2", "2#2"]
    assert sum(row.parameters for row in outcome.layers) == 256


def test_skip_and_ends(bench):
    net = nn.Sequential(*(nn.Linear(8, 8) for _ in range(5)))
    outcome, _, _ = bench.quantize(net, torch.randn(2, 8), skip=("[2]",), keep_first=1, keep_last=1)
    assert sorted(row.layer for row in outcome.layers) == ["1", "3"]
    assert {s.layer: s.why for s in outcome.skipped} == {
        "0": "first or last, kept",
        "2": "skip '[2]'",
        "4": "first or last, kept",
    }


def test_what_cannot_be_quantized_is_told(bench):
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))
    outcome, before, after = bench.quantize(nn.Sequential(normed, nn.Linear(8, 8)), torch.randn(2, 8))
    assert [row.layer for row in outcome.layers] == ["1"]
    assert [(s.layer, s.why) for s in outcome.skipped] == [("0", "the graph computes its weight")]
    assert sqnr_db(before, after) > 30


def test_a_half_precision_layer_is_left_alone(bench):
    outcome, before, after = bench.quantize(nn.Linear(8, 8).half(), torch.randn(2, 8).half())
    assert outcome.skipped[0].why == "float16 weights; the integer kernels need float32"
    assert torch.equal(before, after)


def test_a_weight_that_is_not_finite_names_its_layer(bench):
    net = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    with torch.no_grad():
        net[1].weight[2, 3] = float("inf")
    with pytest.raises(NonFinite, match="layer '1' holds NaN or infinity"):
        bench.quantize(net, torch.randn(2, 8))
    outcome, _, _ = bench.quantize(net, torch.randn(2, 8), skip=("1",))
    assert [row.layer for row in outcome.layers] == ["0"]


def test_worst_layers_come_first(bench):
    net = nn.Sequential(nn.Linear(32, 32), nn.Linear(32, 32))
    with torch.no_grad():
        net[1].weight[:, 0] = 50.0  # one input outshouts the others, which are left few steps
    outcome, _, _ = bench.quantize(net, torch.randn(4, 32))
    assert [row.layer for row in outcome.layers] == ["1", "0"]
    assert outcome.layers[0].sqnr_db < outcome.layers[1].sqnr_db


def test_the_program_is_left_as_it_was(bench):
    x = torch.randn(2, 4, 9, 9)
    net = nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
    program, signature = bench.export(net, x)
    before = {k: v.clone() for k, v in program.state_dict.items()}
    text = str(program.graph)
    bench.quantize(net, x, [x])
    assert str(program.graph) == text
    assert all(torch.equal(before[k], v) for k, v in program.state_dict.items())
    assert bench.run(program, signature, x).shape == (2, 8, 7, 7)
