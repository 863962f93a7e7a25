"""Operations and bytes of operators, counted by hand."""

import pytest
import torch
from torch import nn

from workbench.capture import capture_module
from workbench.compile.operator_times import Operator
from workbench.compile.work import Work, with_work, work_of
from workbench.program import read_examples


@pytest.mark.parametrize(
    ("module", "shape", "name", "flops"),
    [
        (nn.ConvTranspose2d(6, 4, 3, stride=2, groups=2), (2, 6, 5, 5), "conv_transpose2d", 2 * 300 * 2 * 9),
        (nn.Conv2d(6, 4, 3, groups=2), (2, 6, 5, 5), "conv2d", 2 * (2 * 4 * 3 * 3) * 3 * 9),
        (nn.GRU(5, 7), (3, 4, 5), "gru", 2 * 12 * 21 * (5 + 7)),
        (nn.LSTM(5, 3, 2, bidirectional=True), (3, 4, 5), "lstm", 2 * 12 * 2 * 12 * ((5 + 3) + (6 + 3))),
        (nn.LSTMCell(6, 2), (3, 6), "lstm_cell", 2 * 3 * 8 * (6 + 2)),
    ],
)
def test_products_count_two_a_multiply_add(tmp_path, module, shape, name, flops):
    capture_module(module.eval(), torch.randn(shape), tmp_path)
    assert work_of(tmp_path, read_examples(tmp_path).inputs)[name].flops == flops


def test_an_operator_that_is_an_output_counts_once():
    first, last = Work(100.0, 8.0, {"x": 4.0}), Work(2.0, 16.0, {"linear": 8.0})
    row = Operator("0/linear", "linear", 1.0, akin=("/relu", "/y"))
    (filled,) = with_work([row], {"linear": first, "relu": last, "y": last})
    assert (filled.flops, filled.bytes) == (102.0, 4.0 + 16.0)


@pytest.mark.parametrize("seconds", [(1.0, 2.0, 3.0), (3.0, 1.0, 2.0), (2.0, 3.0, 1.0), (1.0, 3.0, 2.0)])
def test_what_counts_does_not_depend_on_which_kernel_was_slower(seconds):
    """Kernels that name the same operators: a product's own, the next one's, and one between them."""
    work = {
        "conv": Work(100.0, 8.0, {"x": 4.0}, product=True),
        "relu": Work(2.0, 8.0, {"conv": 8.0}),
        "rounded": Work(2.0, 8.0, {"relu": 8.0}),
        "linear": Work(50.0, 4.0, {"rounded": 8.0}, product=True),
    }
    rows = [
        Operator("0/qconv", "qconv", seconds[0], akin=("/rounded",)),
        Operator("1/zeros", "zeros", seconds[1], akin=("/rounded",)),
        Operator("2/qlinear", "qlinear", seconds[2], akin=("/linear", "/rounded")),
    ]
    assert sum(row.flops or 0 for row in with_work(rows, work)) == 154.0
