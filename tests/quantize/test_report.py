"""The report: what is counted, how it is ordered, and that it survives the file."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from workbench import codec
from workbench.capture import capture_module
from workbench.quantize import LayerRow, QuantizeConfig, QuantizeReport, SkippedLayer, quantize_program
from workbench.quantize.report import worst_first

ROWS = [
    LayerRow("calm", "linear", "dynamic", 60, 44.0, 41.0),
    LayerRow("loud", "conv2d", "static", 30, 40.0, 18.0),
    LayerRow("blind", "linear", "weights", 0, 30.0),
]


def report():
    return QuantizeReport(
        QuantizeConfig(),
        worst_first(ROWS),
        (SkippedLayer("head", "linear", 10, "skip 'head'"),),
        100,
        400,
        140,
        3,
    )


def test_worst_first_by_output_else_by_weight():
    assert [row.layer for row in report().layers] == ["loud", "blind", "calm"]
    assert [row.layer for row in report().worst(1)] == ["loud"]


def test_equal_rows_have_one_order():
    rows = [LayerRow(name, "linear", "dynamic", 1, 40.0) for name in "cab"]
    assert [row.layer for row in worst_first(rows)] == ["a", "b", "c"]


def test_table_shows_share_size_and_reasons():
    text = report().table().text()
    assert "90.0% of 100 parameters quantized, weights 400 -> 140 bytes (0.35x)" in text
    assert text.index("loud") < text.index("blind") < text.index("calm") < text.index("skip 'head'")
    assert "and 3 more layers" in report().table(limit=1).text()


def test_below_a_short_table_it_says_what_stayed_and_why():
    rows = [
        LayerRow("body", "linear", "ternary", 60, 9.0),
        LayerRow("first", "conv2d", "int8", 3, 44.0, why="first or last"),
    ]
    heads = [SkippedLayer(f"head.{n}", "linear", 2, "skip 'head*'") for n in range(5)]
    made = QuantizeReport(QuantizeConfig(scheme="ternary"), tuple(rows), tuple(heads), 100, 400, 140)
    said = made.table(limit=1).note
    assert (
        said
        == "and 6 more layers; int8: first (first or last); float: head.0, head.1, head.2, head.3 ... (skip 'head*')"
    )
    assert made.table().note == ""


def test_it_returns_from_its_file_as_it_was():
    assert codec.loads(codec.dumps(report())) == report()


def test_the_folder_holds_the_report_and_what_capture_said(tmp_path):
    program, variant = tmp_path / "program", tmp_path / "variant"
    program.mkdir()
    variant.mkdir()
    capture_module(nn.Linear(64, 32).eval(), (torch.randn(2, 64),), program)
    said: list[tuple[float, str]] = []
    given = quantize_program(
        program,
        variant,
        QuantizeConfig(),
        calibration=[torch.randn(4, 64)] * 3,
        progress=lambda share, text: said.append((share, text)),
    )
    assert codec.loads((variant / "quantization.json").read_bytes()) == given
    assert given.calibration_batches == 3
    assert given.total_parameters == 64 * 32 + 32
    assert given.share == pytest.approx(64 / 65)
    assert (variant / "capture.json").read_bytes() == (program / "capture.json").read_bytes()
    assert {p.name for p in variant.iterdir()} == {p.name for p in program.iterdir()} | {"quantization.json"}
    assert [share for share, _ in said] == sorted(share for share, _ in said)
    assert said[-1] == (1.0, "done")


def test_none_passes_the_program_through(tmp_path):
    program, variant = tmp_path / "program", tmp_path / "variant"
    program.mkdir()
    variant.mkdir()
    capture_module(nn.Linear(4, 4).eval(), (torch.randn(2, 4),), program)
    given = quantize_program(program, variant, QuantizeConfig(scheme="none"))
    assert given.layers == ()
    assert given.size_ratio == 1
    assert (variant / "program.pt2").read_bytes() == (program / "program.pt2").read_bytes()


def test_the_package_is_light():
    heavy = "import sys, json, workbench.quantize as q; q.QuantizeConfig(); print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, check=True, timeout=60)
    assert not {"torch", "onnx", "onnxruntime", "numpy"} & set(json.loads(done.stdout))
