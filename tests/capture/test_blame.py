"""Modules that cannot be captured: the error names the submodule, the file and the line."""

from pathlib import Path

import numpy
import pytest
import torch
from torch import nn

from tests import networks
from tests.networks import Branching, perceptron
from workbench.capture import capture_module
from workbench.errors import BadTensor, CaptureError, NonFinite


def line_of(text):
    lines = Path(networks.__file__).read_text().splitlines()
    return next(i for i, line in enumerate(lines, 1) if text in line)


def test_a_branch_on_a_value_names_module_line_and_cure(tmp_path, capfd):
    module = nn.Sequential(nn.Linear(4, 4), nn.ModuleDict({"gate": Branching()})["gate"])
    with pytest.raises(CaptureError, match="data-dependent") as caught:
        capture_module(module, torch.randn(2, 4), tmp_path)
    error = caught.value
    line = line_of("if x.sum() > 0")
    assert error.where == f"module '1', {networks.__file__}:{line}: if x.sum() > 0:"
    assert "torch.where or torch.cond" in error.fix
    assert error.fields == {"module": "1"}
    assert "def forward" not in capfd.readouterr().err, "torch's half-made graph is not for the notebook"


def test_a_deep_submodule_is_named_by_its_path(tmp_path):
    module = nn.Sequential()
    module.add_module("encoder", nn.Sequential(nn.Sequential(Branching())))
    with pytest.raises(CaptureError) as caught:
        capture_module(module, torch.randn(2, 4), tmp_path)
    assert caught.value.where.startswith("module 'encoder.0.0', ")


def test_a_module_that_raises_names_its_line(tmp_path):
    class Raising(nn.Module):
        def forward(self, x):
            raise RuntimeError("not today")

    with pytest.raises(CaptureError, match="the module cannot be captured: not today") as caught:
        capture_module(nn.Sequential(Raising()), torch.randn(2, 4), tmp_path)
    assert f'{__file__}:{Raising.forward.__code__.co_firstlineno + 1}: raise RuntimeError("not today")' in (
        caught.value.where
    )


@pytest.mark.parametrize(
    ("forward", "text"),
    [
        (lambda self, x: x + torch.rand(2, 4), "differs from the module's"),
        (lambda self, x: x.numpy(), "output 'output' is a ndarray, not a tensor"),
        (lambda self, x: (x, 5), "output 'output_1' is a int, not a tensor"),
        (lambda self, x: None, "the module returns no tensor"),
        (lambda self, x: x + torch.from_numpy(numpy.ones(int(x.sum()))), "cannot be captured"),
    ],
)
def test_forwards_that_cannot_be_captured(tmp_path, forward, text):
    module = type("Odd", (nn.Module,), {"forward": forward})()
    with pytest.raises(CaptureError, match=text):
        capture_module(module, torch.ones(2, 4), tmp_path)


def test_a_counter_that_changes_the_output_is_refused(tmp_path):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return x + self.calls

    module = Counting()
    with pytest.raises(CaptureError, match="differs from the module's"):
        capture_module(module, torch.ones(2, 4), tmp_path)
    assert module.calls == 0


def test_hidden_keywords(tmp_path):
    class Open(nn.Module):
        def forward(self, **batch):
            return batch["x"]

    with pytest.raises(BadTensor, match="hides its inputs"):
        capture_module(Open(), {"x": torch.ones(2)}, tmp_path)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_unsound_weights_are_named(tmp_path, value):
    module = perceptron()
    with torch.no_grad():
        module[2].weight[1, 3] = value
    with pytest.raises(NonFinite, match=r"parameter '2.weight' holds NaN or Inf"):
        capture_module(module, torch.randn(2, 4), tmp_path)


def test_unsound_buffers_and_inputs_are_named(tmp_path):
    module = nn.BatchNorm1d(4)
    with pytest.raises(NonFinite, match="input 'input' holds NaN or Inf"):
        capture_module(module, torch.full((2, 4), torch.inf), tmp_path)
    module.running_var[2] = torch.nan
    with pytest.raises(NonFinite, match="buffer 'running_var' holds NaN or Inf"):
        capture_module(module, torch.randn(2, 4), tmp_path)


def test_weights_on_another_device(tmp_path):
    with pytest.raises(CaptureError, match="weight is on meta") as caught:
        capture_module(nn.Linear(4, 4, device="meta"), torch.randn(2, 4), tmp_path)
    assert "module.cpu()" in caught.value.fix


def test_an_operator_that_could_not_be_loaded_again(tmp_path):
    @torch.library.custom_op("elsewhere::twice", mutates_args=())
    def twice(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    twice.register_fake(torch.empty_like)
    module = type("Foreign", (nn.Module,), {"forward": lambda self, x: twice(x)})()
    with pytest.raises(CaptureError, match=r"cannot be stored; .*'torch.ops.elsewhere.twice.default'"):
        capture_module(module, torch.ones(2, 4), tmp_path)
    assert list(tmp_path.iterdir()) == []
