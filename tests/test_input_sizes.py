"""A program refuses the sizes it was not captured for, whichever way it is run."""

import pytest
import torch
from torch.export import Dim

from workbench.errors import BadTensor
from workbench.input_sizes import input_sizes
from workbench.program import runner
from workbench.types import Signature, TensorSpec


class Sum(torch.nn.Module):
    def forward(self, x, y):
        return x + y


SIGNATURE = Signature(
    tuple(TensorSpec(name, "float32", ("batch", 3)) for name in "xy"),
    (TensorSpec("sum", "float32", ("batch", 3)),),
)


@pytest.fixture(scope="module")
def program():
    batch = Dim("batch", min=3, max=8)
    return torch.export.export(
        Sum(), (torch.ones(4, 3), torch.ones(4, 3)), dynamic_shapes={"x": {0: batch}, "y": {0: batch}}
    )


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        ((9, 3), (9, 3), r"x is \[9, 3\], the program takes \[batch >= 3 <= 8, 3\]"),
        ((2, 3), (2, 3), r"x is \[2, 3\]"),
        ((4, 3), (5, 3), r"y is \[5, 3\]"),
        ((4, 3), (1, 3), r"y is \[1, 3\]"),
        ((4, 1), (4, 3), r"x is \[4, 1\]"),
        ((3,), (4, 3), r"x is \[3\]"),
    ],
)
def test_what_broadcasting_would_take_is_refused(program, x, y, said):
    with pytest.raises(BadTensor, match=said):
        runner(program, SIGNATURE)({"x": torch.ones(x), "y": torch.ones(y)})
    with pytest.raises(RuntimeError):
        program.module(check_guards=False)(torch.ones(x), torch.ones(y))


@pytest.mark.parametrize("batch", [3, 8])
def test_what_it_was_captured_for_is_taken(program, batch):
    x = torch.ones(batch, 3)
    assert torch.equal(runner(program, SIGNATURE)({"x": x, "y": x})["sum"], x + x)


def test_a_size_that_is_computed_from_another_is_left_to_the_module():
    class Halves(torch.nn.Module):
        def forward(self, x, y):
            return x.view(2, -1) + y

    half = Dim("half", min=2, max=8)
    program = torch.export.export(
        Halves(), (torch.ones(8), torch.ones(4)), dynamic_shapes={"x": {0: 2 * half}, "y": {0: half}}
    )
    signature = Signature(
        (TensorSpec("x", "float32", ("whole",)), TensorSpec("y", "float32", ("half",))),
        (TensorSpec("sum", "float32", (2, "half")),),
    )
    assert input_sizes(program, signature) is None
    run = runner(program, signature)
    assert run({"x": torch.ones(6), "y": torch.ones(3)})["sum"].shape == (2, 3)
    with pytest.raises(RuntimeError):
        run({"x": torch.ones(6), "y": torch.ones(1)})
