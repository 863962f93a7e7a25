"""Quantizing with healing: four rows, curves, a refusal with advice, a killed run that goes on."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from torch import nn

from workbench import api
from workbench.errors import GateRefused, InputError, MissingInput
from workbench.pipeline.executors.executor import Executor
from workbench.quantize import TernaryConfig
from workbench.quantize.heal import HealConfig
from workbench.store import owner
from workbench.widgets.views import mimebundle

pytest.importorskip("onnxruntime", reason="the flow compiles for onnxruntime")

POOR = TernaryConfig("absmean", "tensor", ends="ternary")


@pytest.fixture
def net(four_sums):
    return four_sums(32)


@pytest.mark.slow
def test_the_report_has_all_four_and_their_curves(store, net):
    accuracy, items = net
    seen = []
    result = api.quantize(
        "net", scheme="ternary", ternary=POOR, evaluate=accuracy, max_drop=0.5,
        heal=HealConfig(0.8, 5e-3), train=items, store=store, on_event=seen.append,
    )  # fmt: skip
    healing = next(table for table in result.tables if table.title.startswith("healing"))
    names = [row[0] for row in healing.rows]
    assert names == ["fp32, as given", "ternary, naive", "ternary, healed", "fp32, trained as long"]
    assert all(isinstance(row[1], float) for row in healing.rows)
    assert set(result.curves) == {"healed", "control"}
    assert "polyline" in mimebundle(result)["text/html"]
    assert set(store.artifacts.manifest(result.digest).data) == {"evaluation", "train"}
    assert any(len(event.payload.get("curve", ())) > 0 for event in seen if event.kind == "step.progress")
    assert not list((store.home / "scratch").glob("*:????????????????")), (
        "a finished step leaves no checkpoint"
    )
    module = result.module()  # a torch module like any other
    x = items[0][0]
    again = torch.export.export(nn.Sequential(module, nn.Softmax(-1)), (x,)).module()
    torch.testing.assert_close(again(x), module(x).softmax(-1))
    compiled = api.compile("net:ternary", store=store)
    with pytest.raises(InputError, match="no torch program"):
        compiled.module()
    assert accuracy(compiled.session()) == pytest.approx(result.score)


@pytest.mark.slow
def test_a_refusal_names_the_next_best_scheme(store, net):
    accuracy, _ = net
    with pytest.raises(GateRefused, match="int4 scores") as refusal:
        api.quantize(
            "net", scheme="ternary", ternary=POOR, evaluate=accuracy, max_drop=0.03, store=store
        )  # fmt: skip
    error = refusal.value
    passing = [each["scheme"] for each in error.fields["alternatives"] if each["passes"]]
    assert error.fix.startswith(f"--scheme {passing[0]}")
    assert "--heal" in error.fix
    assert error.fields["drop"] > 0.03


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_checkpoint(store, net, wait):
    _, items = net
    run = api.quantize(
        "net", scheme="ternary", ternary=POOR, heal=HealConfig(3.0, 5e-3), train=items, store=store,
        background=True,
    )  # fmt: skip
    wait(lambda: list((store.home / "scratch").glob("*:*/healing.safetensors")), "a checkpoint", 120)
    step = store.runs.get(run.id).steps[0]
    os.kill(owner.pid_of(step.owner), signal.SIGKILL)
    wait(lambda: store.runs.get(run.id).state == "failed", "the end of the run")
    before = store.events.last()
    Executor(store).resume(run.id)
    words = [e.payload["message"] for e in store.events.since(before, run.id) if e.kind == "step.progress"]
    spent = [float(text.split()[1]) for text in words if text.startswith("healing")]
    assert spent[0] > 1.5
    assert store.runs.get(run.id).state == "done"


def test_training_data_and_a_budget_belong_together(store, net):
    _, items = net
    with pytest.raises(MissingInput, match="needs training data"):
        api.quantize("net", scheme="ternary", heal=1.0, store=store)
    with pytest.raises(InputError, match="without a budget"):
        api.quantize("net", scheme="ternary", train=items, store=store)
    with pytest.raises(InputError, match="is no loader"):
        api.quantize("net", scheme="ternary", heal=1.0, train=3, store=store)


def test_a_loader_that_never_ends_is_read_in_part(store, monkeypatch):
    from workbench.pipeline import training

    monkeypatch.setattr(training, "MAX_ITEMS", 5)
    assert len(training.items(iter(lambda: torch.zeros(1), None))) == 5
    monkeypatch.setattr(training, "MAX_BYTES", 9)
    assert len(training.items([{"x": torch.zeros(1)}] * 4)) == 2


def test_living_processes_never_share_a_folder(store):
    mine = store.adopt("abc")
    assert store.adopt("abc") == mine
    other = mine.with_name(f"{owner.of(os.getppid())}:abc")
    mine.rename(other)
    assert store.adopt("abc") != other
    dead = mine.with_name("999999@1:def")
    dead.mkdir()
    (dead / "x").touch()
    assert (store.adopt("def") / "x").exists()
    assert not dead.exists()
