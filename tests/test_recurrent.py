"""Shapes of recurrent operators while they are traced."""

import pytest
import torch
from torch import nn

from workbench.recurrent import any_length

AUTO = torch.export.Dim.AUTO


@pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning")  # torch, of its own RNN modules
@pytest.mark.parametrize(
    "module",
    [
        nn.LSTM(4, 6),
        nn.LSTM(4, 6, num_layers=2, bidirectional=True, batch_first=True),
        nn.GRU(4, 6, num_layers=3),
        nn.GRU(4, 6, bidirectional=True, bias=False),
    ],
)
def test_traced_shapes_are_those_of_a_run(module):
    module.eval()
    with any_length(), torch.no_grad():
        program = torch.export.export(module, (torch.randn(5, 2, 4),), dynamic_shapes=({0: AUTO, 1: AUTO},))
    assert program._guards_code == []
    x = torch.randn(7, 3, 4)
    given = torch.utils._pytree.tree_leaves(program.module(check_guards=False)(x))
    for tensor, expected in zip(given, torch.utils._pytree.tree_leaves(module(x)), strict=True):
        torch.testing.assert_close(tensor, expected.detach())
    traced = torch.utils._pytree.tree_leaves([n.meta["val"] for n in program.graph.output_node().args[0]])
    sizes = {str(s): v for s, v in zip(_input_shape(program), x.shape, strict=True)}
    for fake, tensor in zip(traced, given, strict=True):
        assert [sizes.get(str(s), s) for s in fake.shape] == list(tensor.shape)


def _input_shape(program):
    name = str(program.graph_signature.user_inputs[0])
    return next(n.meta["val"].shape for n in program.graph.nodes if n.name == name)


def test_torch_is_as_before_afterwards():
    key = torch._C.DispatchKey.CompositeImplicitAutograd
    before = [op.py_kernels.get(key) for op in (torch.ops.aten.lstm.input, torch.ops.aten.gru.input)]
    with pytest.raises(KeyError), any_length():
        raise KeyError
    assert [op.py_kernels.get(key) for op in (torch.ops.aten.lstm.input, torch.ops.aten.gru.input)] == before
