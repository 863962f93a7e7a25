"""Convolutional networks: batch norms vanish, and onnxruntime stays in integers from end to end."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workbench.quantize.edit import Editor
from workbench.quantize.numeric import sqnr_db
from workbench.quantize.passes.fold_batch_norm import fold_batch_norm
from workbench.quantize.passes.functionalize import functionalize


def stirred(module):
    """Give batch norms statistics worth folding."""
    for norm in module.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            if norm.affine:
                nn.init.normal_(norm.weight, 1, 0.3)
                nn.init.normal_(norm.bias)
    return module.eval()


NORMED = {
    "conv": (nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)), (2, 3, 8, 8), True),
    "conv without bias": (nn.Sequential(nn.Conv1d(3, 6, 3, bias=False), nn.BatchNorm1d(6)), (2, 3, 8), True),
    "plain norm": (nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6, affine=False)), (2, 3, 8, 8), True),
    "transpose": (nn.Sequential(nn.ConvTranspose2d(4, 6, 2), nn.BatchNorm2d(6)), (2, 4, 5, 5), True),
    "grouped transpose": (
        nn.Sequential(nn.ConvTranspose2d(4, 6, 2, groups=2), nn.BatchNorm2d(6)),
        (2, 4, 5, 5),
        False,
    ),
    "linear": (nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5)), (4, 6), True),
    "linear on another axis": (nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5)), (4, 5, 6), False),
    "alone": (nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 6, 3)), (2, 3, 8, 8), False),
}


@pytest.mark.parametrize("name", NORMED)
def test_folding_changes_nothing(bench, name):
    module, shape, folds = NORMED[name]
    x = torch.randn(shape)
    program, signature = bench.export(stirred(module), x)
    editor = Editor(program)
    fold_batch_norm(editor)
    folded = editor.finish()
    assert ("batch_norm" not in str(folded.graph)) is folds
    torch.testing.assert_close(
        bench.run(folded, signature, x), bench.run(program, signature, x), rtol=1e-4, atol=1e-5
    )


def test_a_shared_convolution_is_not_folded(bench):
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x):
            return self.norm(self.conv(x)) + self.conv(x)

    x = torch.randn(2, 3, 4, 4)
    program, signature = bench.export(stirred(Shared()), x)
    editor = Editor(program)
    fold_batch_norm(editor)
    torch.testing.assert_close(bench.run(editor.finish(), signature, x), bench.run(program, signature, x))


def test_an_in_place_write_that_others_see_stays(bench):
    class Seen(nn.Module):
        def forward(self, x):
            y = x + 1
            z = torch.relu_(y)
            return z + y

    x = torch.randn(2, 4)
    program, signature = bench.export(Seen(), x)
    editor = Editor(program)
    functionalize(editor)
    assert torch.equal(bench.run(editor.finish(), signature, x), bench.run(program, signature, x))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.short = nn.Conv2d(inputs, outputs, 1, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.body(x)
        y += self.short(x)
        return self.relu(y)


def residual():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        Block(8, 8, 1),
        Block(8, 16, 2),
        nn.Flatten(),
        nn.Linear(16 * 16, 10),
    )


@pytest.mark.parametrize("calibrator", ["minmax", "percentile", "entropy"])
def test_a_residual_network_runs_on_integers(bench, calibrator):
    x = torch.randn(4, 3, 32, 32)
    outcome, before, after = bench.quantize(stirred(residual()), x, [x], calibrator=calibrator)
    assert {row.how for row in outcome.layers} == {"static"}
    assert sqnr_db(before, after) > 25
    output, nodes = bench.onnx(outcome.program, x)
    assert sqnr_db(after, output) > 30
    assert nodes.count("QLinearConv") == 7
    assert nodes.count("QLinearAdd") == 2
    assert nodes.count("MatMulIntegerToFloat") == 1
    # One rounding of the input: everything after it is on integers, nothing goes back and forth.
    assert nodes.count("QuantizeLinear") == 1
    assert not {"Conv", "FusedConv", "Gemm", "DequantizeLinear"} & set(nodes)


def test_the_output_of_a_network_may_be_rounded(bench):
    x = torch.randn(2, 3, 8, 8)
    outcome, before, after = bench.quantize(nn.Conv2d(3, 4, 3), x, [x])
    assert sqnr_db(before, after) > 30
    _, nodes = bench.onnx(outcome.program, x)
    assert nodes.count("QLinearConv") == 1


def test_float_operators_between_convolutions_are_allowed(bench):
    x = torch.randn(2, 3, 16, 16)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Conv2d(8, 8, 3), nn.Sigmoid(), nn.AvgPool2d(2))
    outcome, before, after = bench.quantize(net, x, [x])
    assert sqnr_db(before, after) > 25
    output, nodes = bench.onnx(outcome.program, x)
    assert nodes.count("QLinearConv") == 2
    assert sqnr_db(after, output) > 25
