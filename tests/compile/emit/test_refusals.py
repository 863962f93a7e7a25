"""What cannot be compiled or loaded says so: which operator, which module, which backend instead."""

import json

import numpy
import onnx
import pytest
import torch
from torch import nn

from tests.networks import Singular
from workbench.capture import capture_module, capture_onnx
from workbench.compile import CompileConfig, compile_program, load
from workbench.errors import BadTensor, CompileError, CorruptArtifact, InputError


def test_an_operator_without_c_is_named_with_its_module_and_who_takes_it(build_c):
    with pytest.raises(CompileError, match=r"no C for the operator .*linalg_svd") as caught:
        build_c(nn.Sequential(nn.Linear(8, 8), Singular()), torch.randn(8, 8))
    assert caught.value.where == "module '1'"
    assert caught.value.fields["backends"] == ["eager"]
    assert caught.value.fix.endswith("a backend that takes it: eager")


class Sorted(nn.Module):
    def forward(self, x):
        return torch.topk(x, 2)[0]


def test_a_backend_that_takes_the_operator_is_named(build_c):
    with pytest.raises(CompileError, match="topk") as caught:
        build_c(Sorted(), torch.randn(3, 8))
    assert caught.value.fields["backends"] == ["onnxruntime", "eager"]


class Spectrum(nn.Module):
    def forward(self, x):
        return torch.fft.rfft(x).abs()


def test_a_dtype_without_a_type_in_c_is_refused(build_c):
    with pytest.raises(CompileError, match=r"complex64 have no C type on every target|no C for the operator"):
        build_c(Spectrum(), torch.randn(3, 4))


def test_an_onnx_file_is_refused(tmp_path):
    text = '<ir_version: 10, opset_import: ["" : 20]> g (float[n, 4] x) => (float[n, 4] y) { y = Relu(x) }'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "model.onnx")
    program, out = tmp_path / "program", tmp_path / "out"
    program.mkdir(), out.mkdir()
    capture_onnx(tmp_path / "model.onnx", program)
    with pytest.raises(CompileError, match="this one is an ONNX file"):
        compile_program(program, out, CompileConfig("ternary"))


def test_a_target_there_is_not(tmp_path):
    with pytest.raises(InputError, match="the backend 'ternary' has no target 'sparc'") as caught:
        compile_program(tmp_path, tmp_path, CompileConfig("ternary", target="sparc"))
    assert "aarch64-neon" in caught.value.fix


@pytest.mark.parametrize("backend", ["onnxruntime", "eager"])
def test_a_backend_without_targets_refuses_one(backend, tmp_path):
    with pytest.raises(InputError, match=f"the backend '{backend}' has no target 'aarch64-neon'") as caught:
        compile_program(tmp_path, tmp_path, CompileConfig(backend, target="aarch64-neon"))
    assert "%mlops backends" in caught.value.fix


@pytest.fixture
def linear(build_c):
    return build_c(nn.Linear(4, 2), torch.randn(3, 4))


def test_a_changed_shared_object_is_refused(linear):
    path = linear / "model.so"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    # A new file in its place: this process has the old one mapped, and writing there would change its code.
    path.unlink()
    path.write_bytes(data)
    with pytest.raises(CorruptArtifact, match=r"model.so is not the file that was compiled"):
        load(linear)


@pytest.mark.parametrize("name", ["model.so", "target.json"])
def test_a_missing_file_is_refused(name, linear):
    (linear / name).unlink()
    with pytest.raises(CorruptArtifact, match="cannot be read"):
        load(linear)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"_type": "signature"}', '{"_type":"compiled_target","_version":1}']
)
def test_a_damaged_record_is_refused(text, linear):
    (linear / "target.json").write_text(text)
    with pytest.raises(CorruptArtifact):
        load(linear)


def test_a_record_of_another_version_is_refused(linear):
    record = json.loads((linear / "target.json").read_text())
    (linear / "target.json").write_text(json.dumps({**record, "abi": 99}))
    with pytest.raises(CorruptArtifact, match="of another version"):
        load(linear)


def test_an_index_out_of_range_ends_the_run(session):
    run = session(nn.Embedding(10, 4), torch.tensor([[1, 2], [3, 4]]))
    for bad in (10, -11, 2**60):
        with pytest.raises(BadTensor, match="names a row that a table of the model does not have"):
            run(numpy.array([[1, 2], [3, bad]]))
    assert run(numpy.array([[1, -1]])).shape == (1, 2, 4)


class Positions(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(8, 4)

    def forward(self, x):
        return x + self.table(torch.arange(x.shape[1]))


def test_a_size_beyond_what_the_program_takes(session):
    run = session(Positions(), torch.randn(2, 5, 4))
    assert run(torch.randn(3, 8, 4)).shape == (3, 8, 4)
    with pytest.raises(BadTensor, match=r"dim_1 is 9, the model takes at most 8|does not have"):
        run(torch.randn(2, 9, 4))


def test_the_reference_module_stays_as_it_was(tmp_path):
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)).eval()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    program, out = tmp_path / "program", tmp_path / "out"
    program.mkdir(), out.mkdir()
    capture_module(module, torch.randn(2, 1, 8, 8), program)
    compile_program(program, out, CompileConfig("ternary"))
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
