"""``compile --backend auto`` from the call to the session, and the cached second time."""

import pytest
import torch
from torch import nn

import workbench as wb
from workbench.errors import InputError, UnknownBackend
from workbench.store import Store


def agreement(session):
    """Return 100 while the outputs are finite: a measure that any candidate passes."""
    return 100.0 * bool(torch.isfinite(session(torch.ones(2, 64))).all())


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Hold a captured network, ``net``."""
    store = Store(tmp_path_factory.mktemp("store"))
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    wb.capture(net, torch.randn(4, 64), name="net", store=store)
    return store


def test_auto_keeps_what_is_fastest_and_finds_it_again(store):
    found = wb.choose(
        "net", store=store, backends=["onnxruntime"], budget=600, evaluate=agreement, max_drop=1.0
    )
    tried = {one["name"]: one for one in found.contenders}
    assert {"eager", "onnxruntime", "int8-dynamic/onnxruntime"} <= set(tried)
    picked = [one for one in found.contenders if one["verdict"] == "picked"]
    assert [(one["backend"], one["scheme"]) for one in picked] == [(found.backend, found.scheme)]
    ratios = [one["speedup"] for one in found.contenders if one["verdict"] in ("picked", "passes")]
    assert found.speedup >= max(ratios) / 1.02
    x = torch.randn(3, 64)
    assert found.session()(x).shape == (3, 8)
    assert "score over ms" in found.text()
    assert "<svg" in found.html()
    assert "<script" not in found.html()
    again = wb.choose(
        "net", store=store, backends=["onnxruntime"], budget=600, evaluate=agreement, max_drop=1.0
    )
    assert again.cached
    assert again.digest == found.digest
    made = wb.compile("net", store=store, backend="onnxruntime") if found.scheme == "none" else None
    assert made is None or made.cached


def test_without_a_measure_outputs_are_compared_with_eager(store):
    found = wb.choose("net", store=store, backends=["eager"], budget=600)
    scores = {one["name"]: one["score"] for one in found.contenders if one["score"] is not None}
    assert scores["eager"] == pytest.approx(100.0)
    assert all(score <= 100.0001 for score in scores.values())


def test_mistakes_cost_nothing(store):
    with pytest.raises(InputError, match="a budget of 1 s"):
        wb.choose("net", store=store, budget=1)
    with pytest.raises(UnknownBackend):
        wb.choose("net", store=store, backends=["tensorrt"])
    with pytest.raises(InputError, match="max_drop needs"):
        wb.choose("net", store=store, max_drop=0.1)
