"""Damaged folders: each a clear error, never a crash or a wrong answer."""

import shutil

import pytest
import torch
from torch import nn

from workbench.capture import capture_module
from workbench.compile import CompileConfig, compile_program, load
from workbench.errors import CompileError, CorruptArtifact, UnknownBackend


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("damage")
    for name in ("program", "onnxruntime", "eager"):
        (root / name).mkdir()
    capture_module(nn.Linear(64, 64), torch.randn(2, 64), root / "program")
    for backend in ("onnxruntime", "eager"):
        compile_program(root / "program", root / backend, CompileConfig(backend=backend))
    return root


@pytest.fixture
def copy(folders, tmp_path):
    shutil.copytree(folders, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("content", [b"", b"\x08\x0a not a model", "half", None])
@pytest.mark.parametrize(
    ("backend", "file"),
    [
        ("onnxruntime", "model.onnx"),
        ("onnxruntime", "weights.bin"),
        ("onnxruntime", "signature.json"),
        ("onnxruntime", "backend.json"),
        ("eager", "program.pt2"),
    ],
)
def test_damaged_compiled_folder(copy, backend, file, content):
    path = copy / backend / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content == "half" else content)
    with pytest.raises(CorruptArtifact) as caught:
        load(copy / backend)
    assert str(copy / backend) in caught.value.where


@pytest.mark.parametrize("file", ["program.pt2", "signature.json", "examples.safetensors"])
@pytest.mark.parametrize("keep", [None, 0.5])
def test_damaged_program_folder(copy, tmp_path, file, keep):
    path = copy / "program" / file
    if keep is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    (tmp_path / "out").mkdir()
    with pytest.raises(CorruptArtifact):
        compile_program(copy / "program", tmp_path / "out", CompileConfig())
    assert not (tmp_path / "out" / "backend.json").exists()


def test_a_backend_of_another_workbench(copy):
    (copy / "onnxruntime" / "backend.json").write_text('{"backend": "from_the_future"}')
    with pytest.raises(UnknownBackend, match="there is no backend 'from_the_future'"):
        load(copy / "onnxruntime")


def test_values_the_model_cannot_take(tmp_path):
    for name in ("program", "out"):
        (tmp_path / name).mkdir()
    capture_module(nn.Embedding(10, 4), torch.arange(6).view(2, 3), tmp_path / "program")
    compile_program(tmp_path / "program", tmp_path / "out", CompileConfig())
    with pytest.raises(
        CompileError, match=r"onnxruntime failed: .*indices element out of data bounds"
    ) as caught:
        load(tmp_path / "out")(torch.full((1, 1), 99))
    assert caught.value.where == "input: int64[1, 1]"
