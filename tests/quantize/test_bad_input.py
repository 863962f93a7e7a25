"""What cannot be quantized is refused by name, with what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from workbench.capture import capture_module
from workbench.errors import BadTensor, EmptyData, InputError, MissingInput, NonFinite, QuantizeError
from workbench.quantize import QuantizeConfig, quantize_program


@pytest.fixture
def program(tmp_path: Path) -> Path:
    folder = tmp_path / "program"
    folder.mkdir()
    capture_module(nn.Linear(4, 3).eval(), (torch.randn(2, 4),), folder)
    return folder


NAN = torch.full((2, 4), float("nan"))


@pytest.mark.parametrize(
    ("calibration", "error", "text"),
    [
        ([], EmptyData, "calibration set is empty"),
        ([torch.randn(2, 4), NAN], NonFinite, "calibration batch 1 holds NaN"),
        ([torch.randn(2, 5)], BadTensor, r"shape is \[2, 5\]"),
        ([torch.zeros(2, 4, dtype=torch.float64)], BadTensor, "dtype is float64"),
        (None, MissingInput, "static quantization needs calibration data"),
    ],
)
def test_calibration(
    program: Path, tmp_path: Path, calibration: Any, error: type[Exception], text: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(error, match=text):
        quantize_program(program, out, QuantizeConfig(mode="static"), calibration=calibration)


def test_unknown_scheme_lists_those_there_are(program: Path, tmp_path: Path) -> None:
    with pytest.raises(QuantizeError, match="no quantization scheme 'int7'") as caught:
        quantize_program(program, tmp_path, QuantizeConfig(scheme="int7"))
    assert "int8" in caught.value.fix


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "fast"},
        {"percentile": 30.0},
        {"keep_first": -1},
        {"smooth": 1.0},
        {"smooth": "on"},
        {"smooth": 0.5, "scheme": "int4"},
        {"smooth": 0.5, "mode": "weights"},
        {"group": 48},
    ],
)
def test_values_out_of_range(change: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        QuantizeConfig(**change)


def test_equalization_needs_data(program: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="looks at the activations"):
        quantize_program(program, tmp_path, QuantizeConfig(smooth=0.5))
