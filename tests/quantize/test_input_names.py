"""An input called like a builtin (every ``nn.Sequential`` calls its own ``input``) survives the rewriting."""

from __future__ import annotations

from pathlib import Path

import torch

from workbench.capture import capture_module
from workbench.program import read_signature
from workbench.quantize import QuantizeConfig, quantize_program


def test_an_input_called_input(tmp_path: Path) -> None:
    program, variant = tmp_path / "program", tmp_path / "variant"
    program.mkdir()
    variant.mkdir()
    net = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)).eval()
    capture_module(net, torch.randn(4, 8), program)
    report = quantize_program(
        program, variant, QuantizeConfig(mode="static"), calibration=[(torch.randn(4, 8),)]
    )
    assert report.share > 0.8
    assert [spec.name for spec in read_signature(variant).inputs] == ["input"]
