"""Capture by the api: live modules, factories, ONNX files, and what is none of them."""

import sys

import pytest
import torch
from safetensors.torch import save_file

from workbench import api
from workbench.errors import CaptureError, InputError, MissingInput, NonFinite
from workbench.program import read_signature


def tokenize(texts):
    """Turn texts into a batch: importable, so that it is declared by name."""
    return torch.tensor([[float(len(text))] * 8 for text in texts])


@pytest.fixture
def factory(monkeypatch):
    """A factory in a module that a fresh process can import."""
    from pathlib import Path

    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    yield "small_networks:build"
    sys.modules.pop("small_networks", None)


def test_a_live_module(store, network, batch):
    result = api.capture(network, batch, name="small", store=store)
    assert store.names.resolve("small") == result.digest
    assert result.parameters == 8 * 16 + 16 + 16 * 4 + 4
    manifest = store.artifacts.manifest(result.digest)
    assert manifest.kind == "program"
    assert manifest.step["type"] == "capture_step"
    assert manifest.environment.startswith("sha256:")
    assert "x: float32[batch, 8]" in result.text()
    assert store.runs.get(result.run).state == "done"


def test_the_same_module_gives_the_same_digest(store, network, batch):
    assert api.capture(network, batch, store=store).digest == api.capture(network, batch, store=store).digest
    assert store.names.list()[0].name == "Small"


def test_a_name_that_cannot_be_given_costs_no_run(store, network, batch):
    with pytest.raises(InputError, match="is not an artifact name"):
        api.capture(network, batch, name="not a name", store=store)
    assert store.runs.list(1) == []


def test_a_factory_runs_in_a_step_of_its_own(store, factory, batch):
    result = api.capture(factory, batch, name="built", store=store)
    again = api.capture(factory, batch, name="built", store=store)
    assert again.cached
    assert again.digest == result.digest
    assert result.parameters == 36


def test_a_factory_with_weights(store, factory, batch, tmp_path):
    from small_networks import build

    weights = {name: tensor + 1 for name, tensor in build().state_dict().items()}
    save_file(weights, tmp_path / "w.safetensors")
    plain = api.capture(factory, batch, store=store)
    loaded = api.capture(factory, batch, state=tmp_path / "w.safetensors", store=store)
    assert loaded.digest != plain.digest
    assert store.artifacts.manifest(loaded.digest).data["state"].startswith("sha256:")


def test_a_notebook_factory(store, batch):
    namespace = {"__name__": "__main__"}
    exec("def make():\n    from torch import nn\n    return nn.Linear(8, 2)", namespace)
    assert api.capture(namespace["make"], batch, store=store).parameters == 18


def test_the_declared_preprocessing_is_recorded(store, network, batch):
    namespace = {"__name__": "__main__"}
    exec("def prepare(texts):\n    import torch\n    return torch.ones(len(texts), 8)", namespace)
    named = api.capture(network, batch, preprocess=torch.nn.functional.relu, name="named", store=store)
    local = api.capture(network, batch, preprocess=namespace["prepare"], name="local", store=store)
    assert read_signature(named.path()).preprocessing == "torch.nn.functional:relu"
    assert read_signature(local.path()).preprocessing == "__main__:prepare", "its source cannot be read here"
    from workbench.pipeline.preprocess import batches

    (made,) = batches(store, local.digest, ["a", "b"], None)
    assert made.shape == (2, 8)


def test_dry_run_puts_nothing_under_a_name(store, network, batch):
    result = api.capture(network, batch, name="small", dry_run=True, store=store)
    assert result.recipe["steps"][0]["name"] == "small"
    assert store.names.list() == []
    assert store.runs.list() == []


def test_a_module_needs_inputs(store, network):
    with pytest.raises(MissingInput, match="captured with example inputs") as caught:
        api.capture(network, store=store)
    assert caught.value.fix == "give --inputs BATCH"


@pytest.mark.parametrize(
    ("model", "kind", "said"),
    [
        ("absent.onnx", MissingInput, "no file 'absent.onnx'"),
        ("no_such_module:f", MissingInput, "cannot be imported"),
        ("nocolon", MissingInput, "cannot be imported"),
        (5, InputError, r"(?s)this is no model.*an object of type int"),
    ],
)
def test_what_cannot_be_captured(store, batch, model, kind, said):
    with pytest.raises(kind, match=said):
        api.capture(model, batch, store=store)


def test_a_factory_of_something_else(store, factory, batch):
    with pytest.raises(InputError, match="not a torch module"):
        api.capture("small_networks:five", batch, store=store)


def test_weights_are_for_factories(store, network, batch, tmp_path):
    save_file({"a": torch.ones(1)}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="has its weights already"):
        api.capture(network, batch, state=tmp_path / "w.safetensors", store=store)


def test_a_broken_module_leaves_a_failed_run(store, batch):
    class Branches(torch.nn.Module):
        def forward(self, x):
            return x + 1 if x.sum() > 0 else x - 1

    with pytest.raises(CaptureError):
        api.capture(Branches(), batch, name="broken", store=store)
    assert store.runs.list(1)[0].state == "failed"
    assert store.names.list() == []


def test_nan_weights_are_refused(store, network, batch):
    with torch.no_grad():
        network.first.weight[0, 0] = float("nan")
    with pytest.raises(NonFinite):
        api.capture(network, batch, store=store)


def test_an_onnx_file(store, tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", kind, ["batch", 3])],
        [helper.make_tensor_value_info("y", kind, ["batch", 3])],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10),
        tmp_path / "relu.onnx",
    )
    result = api.capture(str(tmp_path / "relu.onnx"), store=store)
    assert store.names.resolve("relu") == result.digest
    assert (result.path() / "program.onnx").is_file()
    assert api.capture(tmp_path / "relu.onnx", store=store).cached


def test_a_file_that_is_no_onnx(store, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"\xff\xff\xff\xff not onnx")
    with pytest.raises(InputError, match=r"bad\.onnx is not an ONNX file"):
        api.capture(str(tmp_path / "bad.onnx"), store=store)
