"""Program folders: signature and examples, sound and damaged."""

import numpy
import pytest

from workbench.errors import CorruptArtifact
from workbench.program import (
    Examples,
    read_examples,
    read_program,
    read_signature,
    write_examples,
    write_signature,
)
from workbench.types import Signature, TensorSpec

SIGNATURE = Signature((TensorSpec("x", "float32", ("batch", 2)),), (TensorSpec("y", "bool", ("batch",)),))


def test_signature_round_trip(tmp_path):
    write_signature(tmp_path, SIGNATURE)
    assert read_signature(tmp_path) == SIGNATURE


def test_examples_round_trip_keeps_shapes_and_dtypes(tmp_path):
    inputs = {
        "x": numpy.arange(6, dtype="float32").reshape(3, 2).T,
        "scalar": numpy.array(5),
        "in.x": numpy.ones(0),
    }
    write_examples(tmp_path, Examples(inputs, {"x": numpy.array([True])}))
    back = read_examples(tmp_path)
    assert {k: (v.dtype, v.shape) for k, v in back.inputs.items()} == {
        k: (v.dtype, v.shape) for k, v in inputs.items()
    }
    numpy.testing.assert_array_equal(back.inputs["x"], inputs["x"])
    assert back.outputs["x"].tolist() == [True]


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"a": 1}', b'{"_type": "signature", "_version": 1}'])
def test_signatures_that_cannot_be_read(tmp_path, content):
    if content is not None:
        (tmp_path / "signature.json").write_bytes(content)
    with pytest.raises(CorruptArtifact, match="signature") as caught:
        read_signature(tmp_path)
    assert caught.value.where == str(tmp_path / "signature.json")


@pytest.mark.parametrize("content", [None, b"", b"\x08\0\0\0\0\0\0\0{}"])
def test_examples_that_cannot_be_read(tmp_path, content):
    if content is not None:
        (tmp_path / "examples.safetensors").write_bytes(content)
    with pytest.raises(CorruptArtifact, match="the examples cannot be read"):
        read_examples(tmp_path)


def test_a_folder_without_a_program(tmp_path):
    with pytest.raises(CorruptArtifact, match="the file is missing"):
        read_program(tmp_path)


def test_a_graph_that_writes_in_place_is_run_as_a_module():
    import torch

    from workbench.program import _state_of_pure

    class Counting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x):
            self.seen.add_(1)
            return x + 1

    pure = torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),))
    held = _state_of_pure(pure, 1)
    assert held is not None
    assert [value.shape for value in held] == [(2, 2), (2,)]
    assert _state_of_pure(torch.export.export(Counting(), (torch.ones(1, 2),)), 1) is None
