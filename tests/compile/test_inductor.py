"""The backend inductor: ahead of time, dynamic sizes, a fresh process without the compiler, refusals."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from tests.networks import build
from workbench.capture import capture_module
from workbench.compile import CompileConfig, compile_program, load
from workbench.compile.operator_times import operator_times
from workbench.compile.work import with_work, work_of
from workbench.errors import BadTensor, CompileError, CorruptArtifact, InputError
from workbench.operators import decompositions
from workbench.program import read_examples, read_program
from workbench.quantize import QuantizeConfig, quantize_program


class Mixed(nn.Module):
    """A convolution of one channel, whose integer form inductor has to be given two of, and two linear layers."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 8, 3, padding=1)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(8 * 64, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, image):
        torch._check(image.shape[0] <= 64)
        return self.layers(torch.relu(self.convolution(image)))


@pytest.fixture(scope="module")
def variant(tmp_path_factory):
    """Return the folder of a quantized program."""
    root, images = tmp_path_factory.mktemp("mixed"), torch.randn(4, 1, 8, 8)
    (program := root / "program").mkdir(), (out := root / "variant").mkdir()
    torch.manual_seed(0)
    capture_module(Mixed(), images, program)
    quantize_program(program, out, QuantizeConfig(mode="static"), calibration=[images])
    return out


@pytest.fixture(scope="module")
def compiled(variant, tmp_path_factory):
    out = tmp_path_factory.mktemp("compiled")
    return out, compile_program(variant, out, CompileConfig("inductor"))


def test_a_quantized_program_is_checked_at_every_size(compiled):
    _, report = compiled
    assert {case["batch"] for case in report.checked} == {1, 3, 4, 5}
    assert report.backend == "inductor"
    assert report.max_abs_error < 0.05


def test_more_than_it_was_captured_for_is_refused(compiled):
    with pytest.raises(BadTensor, match="batch is 65, the model takes at most 64"):
        load(compiled[0])(torch.randn(65, 1, 8, 8))


def test_its_kernels_tell_time_and_work(compiled, variant):
    out, _ = compiled
    feeds = {name: array[:2] for name, array in read_examples(out).inputs.items()}
    found = with_work(operator_times(out, feeds, repeats=3), work_of(variant, feeds))
    assert all(one.seconds > 0 for one in found)
    products = 2 * (8 * 64 * 9 + 8 * 64 * 32 + 32 * 4)  # two images
    assert 2 * products <= sum(one.flops or 0 for one in found) < 1.3 * 2 * products


FRESH = """
import sys
from pathlib import Path
from workbench.compile import load
from workbench.operators import decompositions
from workbench.program import read_examples, read_program
folder = Path(sys.argv[1])
examples = read_examples(folder)
given = load(folder, threads=2).run(examples.inputs)
for name, expected in examples.outputs.items():
    assert abs(given[name] - expected).max() < 0.1, name
assert not {"torch._inductor.compile_fx", "onnx", "workbench.quantize.ops"} & set(sys.modules), "runtime only"
"""


def test_a_fresh_process_needs_torch_but_no_compiler(compiled):
    environment = {"PATH": "", "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", FRESH, str(compiled[0])]
    subprocess.run(command, check=True, timeout=120, env=environment)


def test_another_processor_is_told_what_it_lacks(compiled, tmp_path):
    for path in compiled[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "inductor.json").write_text(json.dumps({"needs": ["avx1024", "fma"]}))
    with pytest.raises(CompileError, match="with avx1024") as caught:
        load(tmp_path)
    assert caught.value.fields["missing"][0] == "avx1024"


def test_a_damaged_package_is_refused(compiled, tmp_path):
    for path in compiled[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.pt2").write_bytes(b"PK")
    with pytest.raises(CorruptArtifact, match="cannot load the package"):
        load(tmp_path)
    (tmp_path / "inductor.json").write_text("{")
    with pytest.raises(CorruptArtifact, match=r"inductor.json cannot be read"):
        load(tmp_path)


def test_a_recurrent_layer_of_any_length_is_refused_by_name(tmp_path):
    (program := tmp_path / "program").mkdir(), (out := tmp_path / "out").mkdir()
    capture_module(*build("gru"), program)
    with pytest.raises(CompileError, match=r"unrolls aten.gru") as caught:
        compile_program(program, out, CompileConfig("inductor"))
    assert caught.value.where == "module 'cell'"


def test_without_a_compiler_it_says_what_to_install(variant, tmp_path, monkeypatch):
    from workbench.errors import MissingDependency

    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingDependency) as caught:
        compile_program(variant, tmp_path, CompileConfig("inductor"))
    assert "install g++" in caught.value.fix


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_grids_found_at_each_call_multiply_integers(tmp_path):
    (program := tmp_path / "program").mkdir(), (variant := tmp_path / "variant").mkdir()
    torch.manual_seed(0)
    inputs = 3 * torch.randn(2, 5, 24) + 1
    capture_module(nn.Sequential(nn.Linear(24, 32), nn.GELU(), nn.Linear(32, 8)), inputs, program)
    quantize_program(program, variant, QuantizeConfig(mode="dynamic"))
    reference = read_program(variant)
    lowered = read_program(variant).run_decompositions(decompositions(reference))
    products = [node for node in lowered.graph.nodes if node.target is torch.ops.aten._int_mm.default]
    assert len(products) == 2
    torch.testing.assert_close(lowered.module()(inputs), reference.module()(inputs), rtol=0, atol=1e-5)


def test_torchao_s_tensors_are_an_option(tmp_path):
    (program := tmp_path / "program").mkdir(), (out := tmp_path / "out").mkdir()
    torch.manual_seed(0)
    inputs, net = torch.randn(3, 24), nn.Sequential(nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 8))
    capture_module(net, inputs, program)
    report = compile_program(program, out, CompileConfig("inductor", options={"torchao": "int8-dynamic"}))
    assert {case["batch"] for case in report.checked} > {1, 3}
    assert report.max_abs_error > 1e-5  # no float program
    feeds = {"input": inputs.numpy()}
    assert sum(one.name.count("int_mm") for one in operator_times(out, feeds, repeats=2)) == 2


def test_torchao_takes_no_program_that_is_quantized(variant, tmp_path):
    with pytest.raises(InputError, match="quantized already"):
        compile_program(variant, tmp_path, CompileConfig("inductor", options={"torchao": "int8-weights"}))
