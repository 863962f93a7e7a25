"""bfloat16 modules are captured with float32 at their edges; the module stays what it was."""

import pytest
import torch
from torch import nn

from workbench.capture import capture_module
from workbench.errors import CaptureError
from workbench.program import read_examples, read_program, read_signature, runner


class Nested(nn.Module):
    """Half and whole numbers in, a dict of a tuple out."""

    def __init__(self):
        super().__init__()
        self.table, self.layer = nn.Embedding(9, 4), nn.Linear(4, 3)

    def forward(self, ids, state):
        y = self.layer(self.table(ids) + state["h"])
        return {"y": y, "rest": (y.argmax(-1), y.float())}


def test_inputs_and_outputs_become_float32(tmp_path):
    torch.manual_seed(0)
    module = Nested().bfloat16().eval()
    ids, state = torch.tensor([[1, 2, 3], [4, 5, 6]]), {"h": torch.randn(2, 3, 4).bfloat16()}
    report = capture_module(module, (ids, state), tmp_path)
    dtypes = {spec.name: spec.dtype for spec in (*report.signature.inputs, *report.signature.outputs)}
    assert dtypes == {
        "ids": "int64", "state_h": "float32", "y": "float32", "rest_0": "int64", "rest_1": "float32",
    }  # fmt: skip
    assert read_examples(tmp_path).inputs["state_h"].dtype == "float32"
    assert "forward" not in vars(module)
    assert {name for name, _ in read_program(tmp_path).named_parameters()} == {
        name for name, _ in module.named_parameters()
    }
    given = runner(read_program(tmp_path), read_signature(tmp_path))(
        {"ids": ids, "state_h": state["h"].float()}
    )
    expected = module(ids, state)
    assert torch.equal(given["y"], expected["y"].float())
    assert torch.equal(given["rest_0"], expected["rest"][0])


def test_what_comes_in_is_rounded_first(tmp_path):
    torch.manual_seed(0)
    module = nn.Linear(4, 3).bfloat16().eval()
    capture_module(module, torch.randn(2, 4).bfloat16(), tmp_path)
    x = torch.randn(5, 4)
    given = runner(read_program(tmp_path), read_signature(tmp_path))({"input": x})
    assert torch.equal(given["output"], module(x.bfloat16()).float())


def test_a_forward_of_the_users_own_is_put_back(tmp_path):
    module = nn.Linear(4, 3).bfloat16().eval()
    own = module.forward
    module.forward = own
    capture_module(module, torch.randn(2, 4).bfloat16(), tmp_path)
    assert vars(module)["forward"] is own


class Cast(nn.Module):
    """float32 weights, and a result that autocast made bfloat16."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return self.layer(x)


def test_outputs_under_autocast(tmp_path):
    assert capture_module(Cast().eval(), torch.randn(2, 4), tmp_path).signature.outputs[0].dtype == "float32"


def test_attention_in_half_precision_may_round_elsewhere(tmp_path):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True).half().eval()
    capture_module(layer, torch.randn(3, 7, 64).half(), tmp_path)


@pytest.mark.parametrize(
    "drawn",
    [
        lambda y: torch.cat([torch.full_like(y[:, :1], -torch.inf), torch.rand_like(y)], 1),
        lambda y: torch.randint(50_000, 50_400, (64,)) + y.argmax(),
    ],
    ids=["beside infinity", "whole numbers"],
)
def test_what_differs_in_half_precision_is_still_found(tmp_path, drawn):
    class Drawing(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x):
            return drawn(self.layer(x))

    with pytest.raises(CaptureError, match="differs from the module's"):
        capture_module(Drawing().bfloat16().eval(), torch.randn(2, 4).bfloat16(), tmp_path)
