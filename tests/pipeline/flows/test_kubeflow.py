"""Kubeflow: its message takes what we compile, its local runner gives the same digests, its pipelines run here."""

from __future__ import annotations

import json

import numpy as np
import pytest

import workbench as wb
from workbench.errors import InputError, RunError, StepFailed
from workbench.pipeline.dsl import Pipeline
from workbench.pipeline.kubeflow import submit, validated

pytest.importorskip("kfp")


@wb.step
def make(n: int):
    return {"x": np.arange(n) + np.random.rand(n)}


@wb.step(retries=1, timeout_s=50, cpus=1, memory="1G")
def scale(data, by: float) -> float:
    return float((data["x"] * by).sum())


@wb.pipeline
def flow(n: int = 3, by: float = 2):
    data = make(n)
    return {"sum": scale(data, by), "data": data}


@wb.pipeline
def wide(n: int = 3):
    with wb.on_exit(make(1)), wb.each([1, 2]) as i:
        data = make(i)
        with wb.when(scale(data, 1.0) > 1.0):
            make(n)


def test_kubeflow_takes_what_is_compiled():
    for pipeline in (flow, wide):
        message = validated(pipeline)
        assert message.pipeline_info.name == pipeline.name
    broken = Pipeline("broken", {**flow.spec, "rooot": {}}, {})
    with pytest.raises(InputError, match="rooot"):
        validated(broken)


def test_kubeflows_local_runner_gives_the_same_digests(store, tmp_path, monkeypatch):
    from kfp import components, local

    ours = wb.run(flow, {"n": 4}, store=store)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"))
    task = components.load_component_from_text(flow.yaml())(n=4)
    assert task.outputs["sum"] == ours.outputs["sum"]
    assert task.outputs["data"].metadata["digest"] == ours.outputs["data"]


@wb.step
def total(parts) -> int:
    return sum(len(part["x"]) for part in parts)


@wb.step
def picky(n: int) -> int:
    raise ValueError(f"{n} is too many")


@wb.pipeline
def failing(n: int = 7):
    return picky(n)


@wb.pipeline
def gathering(sizes: list):
    with wb.each(sizes) as n:
        part = make(n)
    return total(part)


def test_every_step_is_the_same_in_a_container_started_by_kfp(store):
    from tests.pipeline.flows.theirs import theirs

    result = wb.mirror(gathering, {"sizes": [2]}, against="kubeflow", store=store)
    assert result.equal
    assert "2 of 2 steps are the same on local and kubeflow" in result.text()
    result = wb.mirror(theirs, {"n": 1}, against="kubeflow", store=store)
    assert result.equal
    assert "3 of 3" in result.text()


def test_a_container_that_fails_says_why(store):
    with pytest.raises(StepFailed, match=r"its container failed: .*7 is too many") as caught:
        wb.run(failing, store=store, executor="kubeflow")
    assert "Traceback" in caught.value.fields["log"]


def test_a_pipeline_of_kfp_runs_here(store, tmp_path):
    from kfp import compiler

    from tests.pipeline.flows.theirs import empty, theirs

    assert wb.run(theirs, {"n": 4}, store=store).value() == "00,11,22,33=6.0"
    path = tmp_path / "theirs.yaml"
    compiler.Compiler().compile(theirs, str(path))
    again = wb.run(path, {"n": 4}, store=store)
    assert again.cached
    with pytest.raises(StepFailed, match="wrote nothing to its output out"):
        wb.run(empty, store=store)


def test_no_cluster_is_an_error_that_names_it(tmp_path):
    with pytest.raises(RunError, match="did not take the pipeline") as caught:
        submit(flow, "http://127.0.0.1:9", {})
    assert caught.value.where == "http://127.0.0.1:9"


def test_a_cluster_gets_the_ir(store):
    """The client's own request, against a server that only records it."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    asked = []

    class Recorder(BaseHTTPRequestHandler):
        def do_GET(self):
            self._answer(
                {"multi_user": False, "experiments": [{"experiment_id": "e1", "display_name": "Default"}]}
            )

        def do_POST(self):
            asked.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            kind = "experiment" if "experiments" in self.path else "run"
            self._answer({f"{kind}_id": f"{kind}-7", "display_name": "x"})

        def _answer(self, form):
            text = json.dumps(form).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Recorder) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        result = wb.run(flow, {"n": 5}, store=store, executor=f"kubeflow://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join(30)
    assert result.run == "run-7"
    sent = next(form for path, form in asked if path.endswith("/runs"))
    text = json.dumps(sent)
    assert "workbench.pipeline.entrypoint" in text
    assert "exec-scale" in text
