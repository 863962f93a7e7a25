"""The main job on a small network: quantize, compile, run, stage; and what each refuses."""

import numpy
import pytest
import torch

from workbench import api
from workbench.errors import (
    CorruptArtifact,
    EmptyData,
    EvaluationFailed,
    GateRefused,
    InputError,
    MissingInput,
    NonFinite,
    UnknownArtifact,
    UnknownBackend,
    UnknownDeployment,
)
from workbench.serve.client import InferenceClient

pytest.importorskip("onnxruntime", reason="the flow compiles for onnxruntime")


@pytest.fixture
def batches(batch):
    return list(batch.split(2))


@pytest.fixture
def agreement(network, batch):
    """An evaluation function as a notebook defines it: closeness to the captured network, 1 is equal."""
    namespace = {"__name__": "__main__", "network": network, "batch": batch}
    exec(
        "def agreement(model):\n    return 1 - float((model(batch) - network(batch)).abs().max())", namespace
    )
    return namespace["agreement"]


@pytest.fixture
def variant(store, captured, batches, agreement):
    return api.quantize("small", calibrate=batches, evaluate=agreement, max_drop=0.5, store=store)


@pytest.mark.slow
def test_quantize_compile_and_run(store, variant, network, batch, batches, agreement):
    assert variant.name == "small:int8"
    assert variant.baseline_score == pytest.approx(1, abs=1e-5)
    assert variant.drop == pytest.approx(variant.baseline_score - variant.score)
    assert variant.size_ratio < 0.5
    manifest = store.artifacts.manifest(variant.digest)
    assert set(manifest.data) == {"calibration", "evaluation"}
    assert "latency" not in str(manifest.metrics), "what varies from run to run is not in a manifest"
    (ratio,) = [m for m in store.measurements.of(variant.digest) if m.key == "latency_ratio"]
    assert "eager" in ratio.baseline
    again = api.quantize("small", calibrate=batches, evaluate=agreement, max_drop=0.5, store=store)
    assert again.cached
    assert again.digest == variant.digest
    assert again.text() == variant.text()

    compiled = api.compile("small:int8", store=store)
    assert compiled.name == "small:int8/onnxruntime"
    assert compiled.cached, "what was judged is what is compiled"
    session = compiled.session()
    torch.testing.assert_close(session(batch), network(batch), atol=0.1, rtol=0.1)
    with pytest.raises(InputError, match="only a compiled artifact runs"):
        variant.session()


@pytest.mark.slow
def test_push_promote_and_unstage(store, captured, network, batch):
    api.compile("small", store=store)
    seen = []
    try:
        pushed = api.push("small", on_event=seen.append, store=store)
        assert [e.kind for e in seen][-1] == "run.done"
        assert store.names.of(pushed.digest) == ["small@staging"]
        with InferenceClient(pushed.url) as client:
            answer = client.infer("small", {"x": batch.numpy()})
        numpy.testing.assert_allclose(next(iter(answer.outputs.values())), network(batch).detach(), atol=1e-4)
        canary = api.push("small", canary=0.5, store=store)
        assert canary.phase == "canary"
        assert api.status("small", store=store).url == pushed.url
        assert api.promote("small", store=store).phase in ("stable", "draining")
        assert "small" in api.status(store=store).text()
    finally:
        api.unstage("small", store=store)
    with pytest.raises(UnknownDeployment):
        api.status("small", store=store)
    assert store.names.list()[0].name == "small"
    assert all("@staging" not in row.name for row in store.names.list())


def test_push_of_what_was_not_compiled(store, captured):
    with pytest.raises(UnknownArtifact, match="small has not been compiled") as caught:
        api.push("small", store=store)
    assert caught.value.fix == "%mlops compile small --backend onnxruntime"


@pytest.mark.slow
def test_the_gate_refuses_with_numbers(store, captured, batches):
    namespace = {"__name__": "__main__", "batch": batches[0], "calls": []}
    exec("def worse(model):\n    calls.append(1)\n    return 1.0 if len(calls) == 1 else 0.25", namespace)
    with pytest.raises(GateRefused, match=r"1\.0000 -> 0\.2500") as caught:
        api.quantize("small", calibrate=batches, evaluate=namespace["worse"], max_drop=0.1, store=store)
    assert caught.value.fields["drop"] == pytest.approx(0.75)
    assert "--max-drop" in caught.value.fix
    row = store.runs.get(store.runs.list(1)[0].id)
    assert row.state == "failed"
    assert row.steps[0].error["fields"]["max_drop"] == 0.1
    with pytest.raises(UnknownArtifact):
        store.names.resolve("small:int8")


@pytest.mark.slow
def test_an_evaluation_that_raises(store, captured, batches):
    namespace = {"__name__": "__main__"}
    exec("def broken(model):\n    return labels", namespace)
    with pytest.raises(EvaluationFailed, match="name 'labels' is not defined") as caught:
        api.quantize("small", calibrate=batches, evaluate=namespace["broken"], store=store)
    assert "in broken" in caught.value.where
    assert "NameError" in caught.value.fields["traceback"]


def test_calibration_data_that_hold_nan(store, captured, batches):
    batches[1][0, 0] = float("nan")
    with pytest.raises(NonFinite, match="batch"):
        api.quantize("small", mode="static", calibrate=batches, store=store)


def test_calibration_data_that_are_empty_or_raw(store, captured):
    with pytest.raises(EmptyData, match="calibration set is empty"):
        api.quantize("small", calibrate=[], store=store)
    with pytest.raises(MissingInput, match="calibration items are str"):
        api.quantize("small", calibrate=["a", "b"], store=store)


def test_an_unknown_and_a_corrupt_program(store, captured):
    with pytest.raises(UnknownArtifact, match="'smal'") as caught:
        api.quantize("smal", store=store)
    assert "small" in caught.value.fix
    path = captured.path() / "program.pt2"
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(CorruptArtifact, match="do not match"):
        api.quantize("small", store=store)
    with pytest.raises(CorruptArtifact, match=r"program\.pt2 is missing"):  # the bad file left the artifact
        api.compile("small", store=store)


def test_options_that_do_not_fit(store, captured):
    with pytest.raises(InputError, match="max_drop needs an evaluation function"):
        api.quantize("small", max_drop=0.1, store=store)
    with pytest.raises(InputError, match="mode is 'often'"):
        api.quantize("small", mode="often", store=store)
    with pytest.raises(UnknownBackend):
        api.compile("small", backend="none", store=store)


@pytest.mark.slow
def test_a_background_compile(store, captured):
    run = api.compile("small", backend="eager", background=True, store=store)
    assert run.result().name == "small/eager"
    assert run.state == "done"


def test_dry_runs_name_their_inputs_by_digest(store, captured):
    recipe = api.compile("small", dry_run=True, store=store).recipe
    assert recipe["steps"][0]["program"] == captured.digest
    assert store.runs.list(1)[0].title == "capture small"
