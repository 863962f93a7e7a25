"""Quantized variants keep their integers all the way into the compiled file."""

import pytest
import torch
from torch import nn

from tests.networks import build
from workbench.capture import capture_module
from workbench.compile import CompileConfig, compile_program, load
from workbench.compile.source import Source
from workbench.compile.tolerance import tolerance_for
from workbench.errors import CorruptArtifact
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


@pytest.mark.parametrize(("mode", "relative"), [("dynamic", 0.1), ("static", 0.15)])
def test_int8_weights_stay_int8(tmp_path, mode, relative):
    folders, report = chain(tmp_path, *wide(), mode)
    size = {name: (folders[name] / "weights.bin").stat().st_size for name in ("float", "integer")}
    assert size["integer"] < 0.35 * size["float"]
    assert (report.tolerance_abs, report.tolerance_rel) == (1e-3, relative)
    x = torch.randn(5, 256)
    variant = runner(read_program(folders["variant"]), read_signature(folders["variant"]))
    torch.testing.assert_close(
        load(folders["integer"])(x), variant({"input": x})["output"], rtol=0, atol=0.05
    )


@pytest.mark.parametrize("mode", ["dynamic", "static"])
def test_what_is_no_number_stays_none_in_integer_layers(tmp_path, mode):
    module, inputs = wide()
    for name in ("program", "variant", "compiled"):
        (tmp_path / name).mkdir()
    capture_module(module, inputs, tmp_path / "program")
    config = QuantizeConfig(mode=mode)
    quantize_program(tmp_path / "program", tmp_path / "variant", config, calibration=[inputs])
    compile_program(tmp_path / "variant", tmp_path / "compiled", CompileConfig("ternary"))
    x = torch.randn(5, 256)
    x[1, 3], x[2, 4], x[3, 5] = torch.nan, torch.inf, -torch.inf
    eager = runner(read_program(tmp_path / "variant"), read_signature(tmp_path / "variant"))({"input": x})
    assert eager["output"][1].isnan().all()
    given = load(tmp_path / "compiled")(x)
    torch.testing.assert_close(given, eager["output"], equal_nan=True, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["lstm", "gru", "convolutional", "attention"])
def test_every_kind_of_layer_compiles(tmp_path, name):
    module, inputs = build(name)
    folders, report = chain(tmp_path, module, inputs, "auto")
    examples = read_examples(folders["integer"])
    given = load(folders["integer"]).run(examples.inputs)
    for key, expected in examples.outputs.items():
        assert abs(given[key] - expected).max() <= 1e-3 + 0.1 * abs(expected).max()
    assert len(report.checked) == 4


def test_the_tolerance_is_that_of_the_number_format(tmp_path):
    module, inputs = wide()
    (program := tmp_path / "program").mkdir()
    capture_module(module, inputs, program)
    allowed = {}
    for mode in ("weights", "dynamic", "static"):
        (variant := tmp_path / mode).mkdir()
        quantize_program(program, variant, QuantizeConfig(mode=mode), calibration=[inputs])
        for backend in ("eager", "openvino"):
            allowed[mode, backend] = tolerance_for(Source(variant), CompileConfig(backend)).relative
    coarse = {case for case, relative in allowed.items() if relative == 0.15}
    assert coarse == {("static", "eager"), ("static", "openvino"), ("weights", "openvino")}
    assert set(allowed.values()) == {0.1, 0.15}


def test_a_damaged_report_is_refused(tmp_path):
    folders, _ = chain(tmp_path, *build("attention"), "dynamic")
    (folders["variant"] / "quantization.json").write_text("{")
    with pytest.raises(CorruptArtifact, match="report of the quantization"):
        Source(folders["variant"])
