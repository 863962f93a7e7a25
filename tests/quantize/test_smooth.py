"""Equalization: the float program stays what it was, outlier channels stop costing precision, alone where it helps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workbench.quantize import QuantizeConfig
from workbench.quantize.edit import Editor
from workbench.quantize.layers import find_layers
from workbench.quantize.numeric import sqnr_db
from workbench.quantize.smooth import smooth


class Branches(nn.Module):
    """A norm whose channels differ by far, read by two layers and perhaps by a residual sum."""

    def __init__(self, *, around: bool, outliers: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.first, self.second = nn.LayerNorm(32), nn.Linear(32, 32), nn.Linear(32, 32)
        self.around = around
        if outliers:
            nn.init.constant_(self.norm.weight[:2], 60.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: [batch, 32] -> the same."""
        y = self.norm(x)
        z = self.first(y) * torch.sigmoid(self.second(y))
        return z + y if self.around else z


def batches() -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    return [torch.randn(8, 32, generator=random) for _ in range(20)]


@pytest.mark.parametrize("around", [False, True], ids=["folded", "multiplied"])
def test_the_float_program_computes_what_it_did(bench, around):
    x = batches()[0]
    program, signature = bench.export(Branches(around=around), x)
    editor = Editor(program)
    applied, again = smooth(
        editor, find_layers(editor), iter([[b] for b in batches()]), QuantizeConfig(smooth=0.5)
    )
    assert applied == {"first": 0.5, "second": 0.5}
    assert len(list(again)) == 20  # the data are read once, and all of them are handed on
    after = editor.finish()
    torch.testing.assert_close(
        bench.run(after, signature, x), bench.run(program, signature, x), atol=1e-3, rtol=1e-4
    )
    multiplied = [n for n in after.graph.nodes if any("smooth" in a.name for a in n.all_input_nodes)]
    assert bool(multiplied) is around


@pytest.mark.parametrize("mode", ["static", "dynamic"])
@pytest.mark.parametrize("around", [False, True])
def test_outlier_channels_cost_less(bench, mode, around):
    x = batches()[0]
    plain, before, after = bench.quantize(Branches(around=around), x, batches(), mode=mode)
    better, _, smoothed = bench.quantize(Branches(around=around), x, batches(), mode=mode, smooth="auto")
    assert sqnr_db(before, smoothed) > sqnr_db(before, after) + 3
    assert all("smoothed, alpha" in row.why for row in better.layers)
    assert not any(row.why for row in plain.layers)
    output, _ = bench.onnx(better.program, x)
    assert sqnr_db(smoothed, output) > 40


def test_auto_leaves_alone_what_it_would_not_help(bench):
    outcome, _, _ = bench.quantize(
        Branches(around=True, outliers=False), batches()[0], batches(), mode="dynamic", smooth="auto"
    )
    assert not any(row.why for row in outcome.layers)
