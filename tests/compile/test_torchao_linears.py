"""Linear layers in torchao's tensors: what they become, at which sizes, and what is refused."""

import importlib.util

import pytest
import torch
from torch import nn

from workbench.compile.torchao_linears import with_torchao
from workbench.errors import InputError, MissingDependency


class Twice(nn.Module):
    """One layer called twice, at a batch of 2 to 6."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(16, 16)

    def forward(self, x):
        return self.layer(torch.relu(self.layer(x)))


def _program(module, x):
    batch = torch.export.Dim("batch", min=2, max=6)
    return torch.export.export(module, (x,), dynamic_shapes=({0: batch},))


def test_a_shared_layer_is_quantized_once_and_its_sizes_still_vary():
    torch.manual_seed(0)
    module, x = Twice().eval(), torch.randn(3, 16)
    found = with_torchao(_program(module, x), [x], "int8-weights")
    matrices = [value.dtype for value in found.state_dict.values() if value.shape == (16, 16)]
    assert matrices == [torch.int8]
    y = torch.randn(5, 16)
    torch.testing.assert_close(found.module()(y), module(y), rtol=0, atol=0.02)
    (bounds,) = found.range_constraints.values()
    assert (int(bounds.lower), int(bounds.upper)) == (2, 6)


def test_without_a_linear_layer_there_is_nothing_to_do():
    x = torch.randn(3, 16)
    with pytest.raises(InputError, match="has none"):
        with_torchao(_program(nn.ReLU(), x), [x], "int8-dynamic")


def test_without_torchao_it_says_what_to_install(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "torchao" else find(name, *a)
    )
    x = torch.randn(3, 16)
    with pytest.raises(MissingDependency) as caught:
        with_torchao(_program(Twice(), x), [x], "int8-dynamic")
    assert caught.value.fix == "pip install 'mlops-workbench[torchao]'"
