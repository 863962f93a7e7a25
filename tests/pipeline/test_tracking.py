"""MLflow on a real database file: runs, metrics, artifacts, versions and aliases, once each; never needed."""

import warnings

import pytest

from workbench import api
from workbench.errors import InputError, MissingDependency, RunError, UnknownArtifact
from workbench.pipeline import tracking
from workbench.store import ArtifactDraft

pytest.importorskip("mlflow", reason="mlflow is not installed: the team's registry was NOT tested")


@pytest.fixture
def client(tmp_path, monkeypatch):
    monkeypatch.setenv("MLOPS_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.tracking import MlflowClient

        uri = tracking.tracking_uri()
        yield MlflowClient(tracking_uri=uri, registry_uri=uri)


@pytest.fixture
def compiled(store):
    """A run that made a compiled model called m:int8/onnxruntime, deployed as m@staging."""
    folder = store.scratch()
    (folder / "model.onnx").write_text("model")
    step = {"type": "compile_step", "version": 1, "config": {"backend": "onnxruntime"}, "program": ""}
    digest = store.artifacts.put(ArtifactDraft("compiled", folder, step=step, metrics={"max_abs_error": 0.5}))
    run = store.runs.create('{"not": "read"}', ["compile"], title="compile m:int8")
    store.origins.note(digest, run, 0, {"user": "u", "host": "h"})
    store.origins.note_sources(run, 0, {"commit": "c" * 40, "tree": "t" * 40})
    store.measurements.set(digest, "latency_ms", 2.5, "ms")
    store.runs.refer(run, 0, "output", digest)
    store.runs.finish_step(
        run, 0, "done", result={"artifacts": {"artifact": digest}, "result": {"output": digest}}
    )
    store.runs.set_state(run, "done")
    for name in ("m:int8/onnxruntime", "m@staging"):
        store.names.set(name, digest)
    return run, digest


@pytest.mark.slow
def test_a_run_its_model_and_aliases_appear_once(store, client, compiled, tmp_path):
    run, digest = compiled
    for _ in range(2):
        published = api.track(run, store=store).published[run]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        entry = client.get_run(published)
        assert entry.data.params["compile.config.backend"] == "onnxruntime"
        assert entry.data.metrics == {"compile.max_abs_error": 0.5, "compile.latency_ms": 2.5}
        assert entry.data.tags["mlflow.source.git.commit"] == "c" * 40
        assert entry.info.status == "FINISHED"
        paths = {one.path for one in client.list_artifacts(published, "0-compile")}
        assert paths == {"0-compile/model.onnx", "0-compile/manifest.json"}
        experiment = client.get_experiment_by_name("mlops").experiment_id
        assert len(client.search_runs([experiment])) == 1
        (version,) = client.search_model_versions("name = 'm'")
        assert version.tags["mlops.digest"] == digest
        assert client.get_model_version_by_alias("m", "staging").version == version.version

        # an alias set over there is what push takes
        assert tracking.resolve(store, "m@champion") == "m@champion"
        client.set_registered_model_alias("m", "champion", version.version)
        assert tracking.resolve(store, "m@champion") == digest
        recipe = api.push("m@champion", dry_run=True, store=store).recipe
        assert recipe["steps"][0]["compiled"] == digest
        client.create_model_version("m", str(tmp_path), tags={"mlops.digest": "sha256:" + "0" * 64})
        client.set_registered_model_alias("m", "champion", "2")
        with pytest.raises(UnknownArtifact, match="version 2 in MLflow"):
            tracking.resolve(store, "m@champion")


def test_without_a_uri_nothing_is_asked(store, compiled, monkeypatch):
    for name in ("MLOPS_TRACKING_URI", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    assert tracking.resolve(store, "m@champion") == "m@champion"
    tracking.begin(store, compiled[0])
    assert not list((store.home / "logs").iterdir())
    with pytest.raises(InputError, match="no tracking URI"):
        api.track(store=store)


def test_a_server_that_is_not_there_is_said_in_the_run(store, compiled, monkeypatch):
    monkeypatch.setenv("MLOPS_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RunError, match="MLflow says"):
        tracking.publish(store, compiled[0])
    assert tracking.main(store.home, compiled[0]) == 1
    (event,) = [one for one in store.events.since(0, compiled[0]) if one.kind == tracking.FAILED]
    assert "tracking URI" in event.payload["fix"]


def test_a_machine_without_mlflow_says_what_to_install(store, compiled, monkeypatch):
    monkeypatch.setenv("MLOPS_TRACKING_URI", "sqlite:///x.db")
    monkeypatch.setitem(__import__("sys").modules, "mlflow.tracking", None)
    with pytest.raises(MissingDependency, match="mlflow"):
        tracking.publish(store, compiled[0])
