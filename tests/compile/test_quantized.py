"""Quantized variants keep their integers all the way into the compiled file."""

import pytest
import torch
from torch import nn

from tests.networks import build
from workbench.capture import capture_module
from workbench.compile import CompileConfig, compile_program, load
from workbench.program import read_examples, read_program, read_signature, runner
from workbench.quantize import QuantizeConfig, quantize_program


def wide():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 64)), torch.randn(8, 256)


def chain(tmp_path, module, inputs, mode):
    """Return the folders of program, variant and both compiled."""
    folders = {}
    for name in ("program", "variant", "float", "integer"):
        (tmp_path / name).mkdir()
        folders[name] = tmp_path / name
    capture_module(module, inputs, folders["program"])
    quantize_program(folders["program"], folders["variant"], QuantizeConfig(mode=mode), calibration=[inputs])
    compile_program(folders["program"], folders["float"], CompileConfig())
    report = compile_program(folders["variant"], folders["integer"], CompileConfig())
    return folders, report


@pytest.mark.parametrize("mode", ["dynamic", "static"])
def test_int8_weights_stay_int8(tmp_path, mode):
    folders, report = chain(tmp_path, *wide(), mode)
    size = {name: (folders[name] / "weights.bin").stat().st_size for name in ("float", "integer")}
    assert size["integer"] < 0.35 * size["float"]
    assert (report.tolerance_abs, report.tolerance_rel) == (1e-3, 0.15)
    x = torch.randn(5, 256)
    variant = runner(read_program(folders["variant"]), read_signature(folders["variant"]))
    torch.testing.assert_close(
        load(folders["integer"])(x), variant({"input": x})["output"], rtol=0, atol=0.05
    )


@pytest.mark.parametrize("name", ["lstm", "gru", "convolutional", "attention"])
def test_every_kind_of_layer_compiles(tmp_path, name):
    module, inputs = build(name)
    folders, report = chain(tmp_path, module, inputs, "auto")
    examples = read_examples(folders["integer"])
    given = load(folders["integer"]).run(examples.inputs)
    for key, expected in examples.outputs.items():
        assert abs(given[key] - expected).max() <= 1e-3 + 0.1 * abs(expected).max()
    assert len(report.checked) == 4
