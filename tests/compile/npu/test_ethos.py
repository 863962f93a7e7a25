"""The Ethos-U targets: refusals, records, and where the tool environment was made, the whole way."""

import json

import numpy
import pytest
import torch
from torch import nn

from tests.networks import build
from workbench.capture import capture_module
from workbench.compile import CompileConfig, compile_program, load
from workbench.compile.npu import environment
from workbench.compile.npu.floating import floating
from workbench.compile.npu.record import read_npu
from workbench.errors import CompileError, CorruptArtifact, MissingDependency
from workbench.program import read_program
from workbench.quantize import QuantizeConfig, quantize_program


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = (nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10))
        return nn.Sequential(*layers), torch.randn(16, 1, 8, 8)


def folders(tmp_path, *names):
    for name in names:
        (tmp_path / name).mkdir()
    return [tmp_path / name for name in names]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["ethos-u55", "ethos-u65", "ethos-u85"])
def test_the_graph_is_compiled_and_agrees_bit_for_bit(tmp_path, target):
    if not environment.is_made():
        pytest.skip("the tool environment was not made: %mlops compile NAME --backend ethos makes it")
    program, out = folders(tmp_path, "program", "out")
    capture_module(*network(), program, dynamic="input:0=batch")
    report = compile_program(program, out, CompileConfig("ethos", target=target))
    found = read_npu(out)
    assert found["elements"] == found["equal"] == 160
    assert found["left_on_cpu"] == []
    assert found["cycles_npu"] > 0
    assert report.notes["accelerator"].startswith(target)
    with numpy.load(out / "model.npz") as stream:
        assert stream["cmd_data"].size > 0
    module, inputs = network()
    given = load(out)(inputs)
    assert (given.argmax(1) == module.eval()(inputs).argmax(1)).float().mean() >= 0.8


@pytest.mark.slow
def test_an_int8_program_keeps_its_weights_and_grids(tmp_path):
    if not environment.is_made():
        pytest.skip("the tool environment was not made: %mlops compile NAME --backend ethos makes it")
    program, variant, out = folders(tmp_path, "program", "variant", "out")
    module, inputs = network()
    capture_module(module, inputs, program, dynamic="input:0=batch")
    quantize_program(program, variant, QuantizeConfig(mode="static"), calibration=[2 * inputs])
    report = compile_program(variant, out, CompileConfig("ethos", target="ethos-u55"))
    found = read_npu(out)
    assert found["elements"] == found["equal"] == 160
    assert report.max_abs_error <= 0.51 * found["grids"]["output"][0]  # only the result was rounded once more
    step, zero_point = floating(read_program(variant))[1][-1]
    assert found["grids"]["input"] == pytest.approx([step, zero_point - 128])
    peak = float(2 * inputs.abs().max())  # the range of twice the inputs: not the one of the captured ones
    assert step * 255 > peak


def test_an_int8_program_has_a_float_form(tmp_path):
    program, variant = folders(tmp_path, "program", "variant")
    module, inputs = network()
    capture_module(module, inputs, program, dynamic="input:0=batch")
    quantize_program(program, variant, QuantizeConfig(mode="static"), calibration=[inputs])
    form, grids = floating(read_program(variant))
    assert set(grids) == {-1, 1, 2, 3}  # the input, and what relu, pooling and flattening give
    assert not [n for n in form.graph.nodes if str(n.target).startswith("workbench.")]
    torch.testing.assert_close(form(inputs)[0], module.eval()(inputs), rtol=0, atol=0.05)


class Halves(nn.Module):
    """A linear layer on one of the two halves of another's result."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(4, 3)

    def forward(self, x):
        return self.second(self.first(x).chunk(2, 1)[1])


def test_the_grid_of_a_part_is_not_the_inputs(tmp_path):
    program, variant = folders(tmp_path, "program", "variant")
    inputs = torch.rand(16, 8) * 255 / 8
    capture_module(Halves().eval(), inputs, program, dynamic="x:0=batch")
    quantize_program(program, variant, QuantizeConfig(mode="static"), calibration=[inputs])
    _, grids = floating(read_program(variant))
    assert set(grids) == {-1}
    assert grids[-1] == (pytest.approx(float(inputs.max()) / 255, rel=0.05), 0)


def test_a_program_that_is_not_int8_is_refused_before_anything_is_installed(tmp_path):
    program, variant, out = folders(tmp_path, "program", "variant", "out")
    module, inputs = network()
    capture_module(module, inputs, program, dynamic="input:0=batch")
    quantize_program(program, variant, QuantizeConfig("int4"), calibration=[inputs])
    with pytest.raises(CompileError, match="an NPU has no form for workbench") as caught:
        compile_program(variant, out, CompileConfig("ethos"))
    assert caught.value.where == "module '0'"


@pytest.mark.parametrize(
    ("name", "dynamic", "what"),
    [
        ("gru", "auto", "2 inputs"),
        ("convolutional", "auto", "dynamic"),
        ("convolutional", "none", "not one row"),
    ],
)
def test_sizes_and_signatures_are_checked(tmp_path, name, dynamic, what):
    program, out = folders(tmp_path, "program", "out")
    capture_module(*build(name), program, dynamic=dynamic)
    with pytest.raises(CompileError, match=what):
        compile_program(program, out, CompileConfig("ethos"))


def test_an_environment_that_cannot_be_made_says_how_to_see_why(tmp_path, monkeypatch):
    wanted = tmp_path / "requirements.txt"
    wanted.write_text("--no-index\nno-such-package-at-all==1\n")
    monkeypatch.setattr(environment, "REQUIREMENTS", wanted)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MissingDependency, match="cannot be made") as caught:
        environment.python()
    assert "pip install" in caught.value.fix
    assert not environment.is_made()


def test_a_damaged_record_is_said(tmp_path):
    with pytest.raises(CorruptArtifact, match="cannot be read"):
        read_npu(tmp_path)
    (tmp_path / "npu.json").write_text(json.dumps({"grids": {"input": [1.0]}}))
    with pytest.raises(CorruptArtifact, match="cannot be read"):
        read_npu(tmp_path)
