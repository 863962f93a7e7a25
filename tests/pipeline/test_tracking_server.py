"""A live MLflow server, published to by a process that has only what mlflow-skinny brings."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from workbench.store import ArtifactDraft

pytest.importorskip("mlflow", reason="mlflow is not installed: its server was NOT tested")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FULL_ONLY = (
    "sqlalchemy",
    "alembic",
    "flask",
    "pandas",
    "sklearn",
    "scipy",
    "pyarrow",
    "matplotlib",
    "docker",
)
"""What mlflow needs and mlflow-skinny does not install."""

SKINNY = f"""
import json, os, sys
from pathlib import Path

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in {FULL_ONLY!r}
        return None if hidden else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
from workbench.errors import MissingDependency
from workbench.pipeline import tracking
from workbench.store import Store
store = Store(Path(sys.argv[1]))
told = {{"run": tracking.publish(store, sys.argv[2]), "digest": tracking.resolve(store, "m@staging")}}
os.environ["MLOPS_TRACKING_URI"] = "sqlite:///" + sys.argv[3]
try:
    tracking.publish(store, sys.argv[2])
except MissingDependency as error:
    told["refused"] = error.what
print(json.dumps(told))
"""


@pytest.fixture
def server(tmp_path):
    """The address of a server with a database of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{tmp_path}/server.db",
        "--artifacts-destination", str(tmp_path / "artifacts"),
    ]  # fmt: skip
    log = (tmp_path / "server.log").open("wb")
    process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 300
        while not _answers(address):
            assert process.poll() is None, (tmp_path / "server.log").read_text()[-2000:]
            assert time.monotonic() < until, "the server did not come up"
            time.sleep(0.1)
        yield address
    finally:
        _end_session(process)
        log.close()


def _answers(address):
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=30) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _end_session(process):
    import os
    import signal

    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _ask(address, path, **form):
    request = urllib.request.Request(
        f"{address}/api/2.0/mlflow/{path}",
        json.dumps(form).encode() if form else None,
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def test_a_server_gets_runs_versions_and_aliases_from_mlflow_skinny(store, server, tmp_path, monkeypatch):
    folder = store.scratch()
    (folder / "model.onnx").write_text("model")
    step = {"type": "compile_step", "version": 1, "config": {"backend": "onnxruntime"}, "program": ""}
    digest = store.artifacts.put(ArtifactDraft("compiled", folder, step=step, metrics={"error": 0.5}))
    run = store.runs.create('{"not": "read"}', ["compile"], title="compile m")
    store.runs.refer(run, 0, "output", digest)
    store.runs.finish_step(
        run, 0, "done", result={"artifacts": {"artifact": digest}, "result": {"output": digest}}
    )
    store.runs.set_state(run, "done")
    for name in ("m:int8/onnxruntime", "m@staging"):
        store.names.set(name, digest)

    monkeypatch.setenv("MLOPS_TRACKING_URI", server)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    command = [sys.executable, "-c", SKINNY, str(store.home), run, str(tmp_path / "x.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["digest"] == digest
    assert "mlflow-skinny alone" in told["refused"]

    entry = _ask(server, f"runs/get?run_id={told['run']}")["run"]
    assert entry["info"]["status"] == "FINISHED"
    assert {one["key"]: one["value"] for one in entry["data"]["metrics"]} == {"compile.error": 0.5}
    version = _ask(server, "registered-models/alias?name=m&alias=staging")["model_version"]
    assert {"key": "mlops.digest", "value": digest} in version["tags"]
    assert list((tmp_path / "artifacts").rglob("model.onnx"))
