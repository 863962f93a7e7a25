"""A real Jupyter server in its own process, under a base address, as a browser behind a hub would meet it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

import pytest

from workbench.store import Store

TOKEN = "test-token"


@dataclass(frozen=True)
class Server:
    """Its address and its store."""

    base: str
    store: Store

    def ask(self, path, method="GET", token=TOKEN):
        """Return (status, JSON) of a request to one of our routes."""
        headers = {"Authorization": f"token {token}"} if token else {}
        request = urllib.request.Request(f"{self.base}/mlops/api/{path}", method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, _body(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _body(error)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Start a server that loads the extension and nothing of the user's."""
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
        "base_url": "/user/ada/",
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
        yield Server(_address(process, log), store)
    finally:
        process.terminate()
        process.wait(20)


def _body(answer):
    body = answer.read().decode()
    return json.loads(body) if "json" in answer.headers["Content-Type"] else body


def _address(process, log):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = re.search(r"(http://127\.0\.0\.1:[1-9]\d+/user/ada)/", log.read_text())
        if found and _answers(found[1]):
            return found[1]
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def _answers(base):
    try:
        with urllib.request.urlopen(f"{base}/api", timeout=5):
            return True
    except OSError:
        return False


@pytest.fixture
def put(tmp_path):
    """Return a function that stores an artifact under a name."""
    from workbench.store import ArtifactDraft

    def put(store, name, *, kind="program", parents=(), step=None, metrics=None):
        files = store.scratch()
        (files / "x").write_text(name)
        digest = store.artifacts.put(
            ArtifactDraft(kind, files, parents=parents, step=step or {}, metrics=metrics or {})
        )
        store.names.set(name, digest)
        return digest

    return put
