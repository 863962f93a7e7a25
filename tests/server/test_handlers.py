"""Against a real Jupyter server in its own process, as a browser would meet it."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from workbench.store import Store

TOKEN = "test-token"
ROUTES = [("GET", "runs"), ("GET", "runs/r1"), ("DELETE", "runs/r1")]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Yield (base address, store) of a Jupyter server that loads the extension and nothing of the user's."""
    folder = tmp_path_factory.mktemp("jupyter")
    store = Store(folder / "store")
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    environment = {
        **os.environ,
        **{place: str(folder / place) for place in places},
        "MLOPS_HOME": str(store.home),
        "JUPYTER_NO_CONFIG": "1",
    }
    settings = {
        "ip": "127.0.0.1",
        "port": 0,
        "allow_root": True,
        "open_browser": False,
        "root_dir": str(folder),
        "jpserver_extensions": {"workbench.server": True},
    }
    command = [sys.executable, "-m", "jupyter_server", f"--IdentityProvider.token={TOKEN}"]
    command += [f"--ServerApp.{name}={value}" for name, value in settings.items()]
    log = folder / "server.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, env=environment, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL
        )
    try:
        yield _address(process, log), store
    finally:
        process.terminate()
        process.wait(20)


def _address(process, log):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = re.search(r"(http://127\.0\.0\.1:\d+)/", log.read_text())
        if found:
            return found[1]
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def _ask(base, path, method="GET", token=TOKEN):
    headers = {"Authorization": f"token {token}"} if token else {}
    request = urllib.request.Request(f"{base}/mlops/api/{path}", method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


@pytest.mark.parametrize("token", ["", "wrong"])
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_wants_the_login(server, method, path, token):
    assert _ask(server[0], path, method, token)[0] == 403


def test_lists_runs_newest_first(server):
    base, store = server
    ids = [store.runs.create("{}", ["capture"], title=f"run {i}") for i in range(3)]
    status, body = _ask(base, "runs?limit=3")
    assert status == 200
    assert [run["id"] for run in body["runs"]] == ids[::-1]


def test_shows_and_cancels_one_run(server):
    base, store = server
    run_id = store.runs.create("{}", ["capture", "quantize"], title="quantize it")
    status, body = _ask(base, f"runs/{run_id}")
    assert (status, [step["verb"] for step in body["steps"]]) == (200, ["capture", "quantize"])
    status, body = _ask(base, f"runs/{run_id}", "DELETE")
    assert (status, body["id"], body["cancelling"]) == (200, run_id, True)
    assert store.runs.cancelling(run_id)


def test_cancelling_an_ended_run_is_a_conflict(server):
    base, store = server
    run_id = store.runs.create("{}", ["capture"])
    store.runs.set_state(run_id, "done")
    status, body = _ask(base, f"runs/{run_id}", "DELETE")
    assert (status, body["error"], body["what"]) == (409, "RunError", f"run {run_id} is done already")


@pytest.mark.parametrize("run_id", ["zz", "..%2f..%2fetc", "%27%3B--", "r" * 300])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_id_is_not_found(server, method, run_id):
    status, body = _ask(server[0], f"runs/{run_id}", method)
    assert (status, body["error"]) == (404, "UnknownRun")
    assert "no run has the id" in body["message"]


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "ten", "%C2%B2", ""])
def test_a_bad_limit_is_refused(server, limit):
    status, body = _ask(server[0], f"runs?limit={limit}")
    assert (status, body["what"]) == (400, "limit must be 1 to 1000")
