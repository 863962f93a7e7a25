"""The step ``prune``: a program of its own, the gate, training what is left, and onwards to int8."""

from __future__ import annotations

import pytest
import torch

from workbench import api
from workbench.errors import GateRefused, InputError, MissingInput
from workbench.quantize.heal import HealConfig

pytest.importorskip("onnxruntime", reason="the flow compiles for onnxruntime")


@pytest.fixture
def net(four_sums):
    return four_sums(64)


def test_a_pruned_program_is_a_program_like_any_other(store, net):
    accuracy, _ = net
    pruned = api.prune("net", amount=0.5, evaluate=accuracy, store=store)
    assert pruned.name == "net-pruned"
    assert pruned.size_ratio < 0.4
    assert pruned.flops_ratio < 0.4
    assert store.artifacts.manifest(pruned.digest).parents == (store.names.resolve("net"),)
    assert pruned.module()(torch.randn(3, 8)).shape == (3, 4)
    compiled = api.compile("net-pruned", store=store)
    assert compiled.cached, "judged as it is served, so compiled already"
    variant = api.quantize("net-pruned", mode="dynamic", evaluate=accuracy, store=store)
    assert variant.name == "net-pruned:int8"
    assert variant.baseline_score == pytest.approx(pruned.score, abs=0.01)


def test_training_what_is_left_keeps_the_zeros_and_shows_the_control(store, net):
    accuracy, items = net
    result = api.prune(
        "net", method="magnitude", amount=0.9, evaluate=accuracy, heal=HealConfig(0.6, 5e-3), train=items, store=store
    )  # fmt: skip
    healing = next(table for table in result.tables if table.title.startswith("healing"))
    assert [row[0] for row in healing.rows] == [
        "fp32, as given", "pruned, naive", "pruned, healed", "fp32, trained as long",
    ]  # fmt: skip
    losses = [row[3] for row in healing.rows]
    assert losses[2] < losses[1], "training must help what lost nine of ten weights"
    state = result.module().state_dict()
    weights = [w for name, w in state.items() if name.endswith("weight")]
    zeros = sum(int((w == 0).sum()) for w in weights)
    assert zeros == round(0.9 * sum(w.numel() for w in weights))


def test_the_gate_refuses_with_numbers_and_a_way_out(store, net):
    accuracy, _ = net
    with pytest.raises(GateRefused, match="a drop of") as refusal:
        api.prune("net", method="magnitude", amount=0.97, evaluate=accuracy, max_drop=0.01, store=store)
    error = refusal.value
    assert error.fields["drop"] > 0.01
    assert "--heal" in error.fix
    assert "--amount" in error.fix
    assert "net-pruned" not in [row.name for row in store.names.list()]


def test_wrong_questions_are_refused_before_a_run(store, net):
    with pytest.raises(InputError, match="max_drop"):
        api.prune("net", max_drop=0.1, store=store)
    with pytest.raises(MissingInput, match="training data"):
        api.prune("net", heal=1.0, store=store)
