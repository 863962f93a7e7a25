"""Capture of saved weights with the factory of their module."""

import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.networks import build, build_perceptron
from workbench.capture import capture_factory
from workbench.errors import InputError, MissingInput
from workbench.program import read_examples


def trained():
    module = build_perceptron()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1)
    return module


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
@pytest.mark.parametrize("factory", ["tests.networks:build_perceptron", build_perceptron])
def test_weights_reach_the_program(tmp_path, suffix, factory):
    module, inputs, path = trained(), build("perceptron")[1], tmp_path / f"weights.{suffix}"
    if suffix == "safetensors":
        save_file(module.state_dict(), path)
    else:
        torch.save(module.state_dict(), path)
    (out := tmp_path / "program").mkdir()
    report = capture_factory(factory, inputs, out, state=path)
    assert report.parameters == 58
    output = torch.from_numpy(read_examples(out).outputs["output"].copy())
    torch.testing.assert_close(output, module(inputs).detach())


class Payload:
    def __reduce__(self):
        return open, ("/tmp/opened-by-a-pickle", "w")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "the weights cannot be read"),
        (b"not a file of weights", "the weights cannot be read"),
        (pickle.dumps(Payload()), "the weights cannot be read"),
    ],
)
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_files_that_are_no_weights(tmp_path, content, text, suffix):
    path = tmp_path / f"weights.{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=text):
        capture_factory(build_perceptron, torch.randn(2, 4), tmp_path, state=path)


def test_a_whole_pickled_module_is_refused(tmp_path):
    torch.save(trained(), tmp_path / "module.pt")
    with pytest.raises(InputError, match="the weights cannot be read") as caught:
        capture_factory(build_perceptron, torch.randn(2, 4), tmp_path, state=tmp_path / "module.pt")
    assert "torch.save(module.state_dict(), path)" in caught.value.fix


def test_a_checkpoint_of_more_than_tensors_is_refused(tmp_path):
    torch.save({"epoch": 3, "model": trained().state_dict()}, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="more than a state dict"):
        capture_factory(build_perceptron, torch.randn(2, 4), tmp_path, state=tmp_path / "checkpoint.pt")


def test_weights_of_another_model(tmp_path):
    save_file(
        {"0.weight": torch.ones(8, 5), "0.bias": torch.ones(8), "9.w": torch.ones(1)},
        tmp_path / "w.safetensors",
    )
    with pytest.raises(
        InputError, match=r"missing: 2.bias, 2.weight; unknown: 9.w; of another shape: 0.weight"
    ):
        capture_factory(build_perceptron, torch.randn(2, 4), tmp_path, state=tmp_path / "w.safetensors")


@pytest.mark.parametrize("factory", ["tests.networks", "tests.networks:nothing", "no_such_module:build"])
def test_factories_that_are_not_there(tmp_path, factory):
    with pytest.raises(MissingInput, match="cannot be imported"):
        capture_factory(factory, torch.randn(2, 4), tmp_path)


def test_a_missing_file_and_a_factory_of_no_module(tmp_path):
    with pytest.raises(MissingInput, match="no weights file"):
        capture_factory(build_perceptron, torch.randn(2, 4), tmp_path, state=tmp_path / "gone.pt")
    with pytest.raises(InputError, match="the factory returned a type, not a torch module"):
        capture_factory(lambda: nn.Linear, torch.randn(2, 4), tmp_path)
