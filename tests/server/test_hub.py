"""The extension in a server that a real JupyterHub started: its prefix, its tokens, its users.

The hub has no proxy, since that is a Node program: requests go to the user's server itself, under the hub's prefix.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import websocket

from workbench.store import Store

ADMIN = "an-administrator-of-this-hub-only"
CONFIG = """
import json, sys
from jupyterhub.proxy import Proxy

class NoProxy(Proxy):
    should_start = False
    routes = {}
    async def add_route(self, routespec, target, data):
        self.routes[routespec] = {"routespec": routespec, "target": target, "data": data}
        open("FOLDER/routes.json", "w").write(json.dumps({key: one["target"] for key, one in self.routes.items()}))
    async def delete_route(self, routespec):
        self.routes.pop(routespec, None)
    async def get_all_routes(self):
        return dict(self.routes)

c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.bind_url = "http://127.0.0.1:PROXY/hubs/"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:HUB"
c.JupyterHub.db_url = "sqlite:///FOLDER/hub.sqlite"
c.JupyterHub.cookie_secret_file = "FOLDER/secret"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.services = [{"name": "tests", "api_token": "ADMIN"}]
SCOPES = ["admin:users", "admin:servers", "tokens"]
c.JupyterHub.load_roles = [{"name": "tests", "scopes": SCOPES, "services": ["tests"]}]
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = "FOLDER/{username}"
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root", "--ServerApp.jpserver_extensions={'workbench.server': True}"]
c.Spawner.default_url = "/api"
c.Spawner.environment = ENVIRONMENT
c.Spawner.start_timeout = c.Spawner.http_timeout = 90
"""


@dataclass(frozen=True)
class Hub:
    """A hub with Ada's server, and the tokens of two of its users."""

    server: str
    ada: str
    bob: str
    store: Store


def ask(url: str, token: str, method: str = "GET", body: object = None) -> tuple[int, object]:
    """Return (status, JSON)."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"token {token}"} if token else {}
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, None


def wait(found, process: subprocess.Popen[bytes], log: Path):
    """Return the first true answer of `found`."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if answer := found():
                return answer
        except OSError:
            pass
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def free_ports(count: int) -> list[int]:
    """Return ports nobody listens on."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def configuration(folder: Path, home: Path, ports: list[int]) -> str:
    """Return the hub's configuration; everything it writes lies in a folder."""
    environment = {"MLOPS_HOME": str(home), "PYTHONPATH": os.environ.get("PYTHONPATH", "")} | places(folder)
    names = {"FOLDER": folder, "PROXY": ports[0], "HUB": ports[1], "ADMIN": ADMIN, "ENVIRONMENT": environment}
    text = CONFIG
    for name, value in names.items():
        text = text.replace(name, str(value))
    return text


def places(folder: Path) -> dict[str, str]:
    """Return where Jupyter keeps its things, away from the user's."""
    return {f"JUPYTER_{place}_DIR": str(folder / place) for place in ("CONFIG", "DATA", "RUNTIME")}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Start a hub, and in it Ada's server."""
    folder = tmp_path_factory.mktemp("hub")
    store, ports, log = Store(folder / "store"), free_ports(2), folder / "hub.log"
    (folder / "ada").mkdir()
    (folder / "config.py").write_text(configuration(folder, store.home, ports))
    command = [sys.executable, "-m", "jupyterhub", "--config", str(folder / "config.py")]
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, cwd=folder, stdout=sink, stderr=sink, env={**os.environ, **places(folder)}
        )
    api, tokens = f"http://127.0.0.1:{ports[1]}/hubs/hub/api", {}
    try:
        wait(lambda: ask(f"{api}/", ADMIN)[0] == 200, process, log)
        for name in ("ada", "bob"):
            assert ask(f"{api}/users/{name}", ADMIN, "POST")[0] == 201
            tokens[name] = ask(f"{api}/users/{name}/tokens", ADMIN, "POST", {"note": "a test"})[1]["token"]
        assert ask(f"{api}/users/ada/server", ADMIN, "POST")[0] in (201, 202)
        wait(lambda: (ask(f"{api}/users/ada", ADMIN)[1] or {}).get("server"), process, log)
        routes = json.loads((folder / "routes.json").read_text())
        (server,) = [target for spec, target in routes.items() if "/user/ada" in spec]
        yield Hub(f"{server}/hubs/user/ada", tokens["ada"], tokens["bob"], store)
        ask(f"{api}/users/ada/server", ADMIN, "DELETE")
    finally:
        process.terminate()
        process.wait(30)


def test_its_owner_gets_answers_under_the_hubs_prefix(hub: Hub) -> None:
    run_id = hub.store.runs.create("{}", ["capture"], title="at a hub")
    status, body = ask(f"{hub.server}/mlops/api/runs", hub.ada)
    assert (status, [run["id"] for run in body["runs"]]) == (200, [run_id])
    assert ask(f"{hub.server}/mlops/api/runs/{run_id}", hub.ada, "DELETE")[0] == 200
    assert hub.store.runs.cancelling(run_id)


@pytest.mark.parametrize("path", ["runs", "models", "system", "views/lineage.js"])
def test_nobody_else_does(hub: Hub, path: str) -> None:
    for token in ("", "wrong", hub.bob):
        assert ask(f"{hub.server}/mlops/api/{path}", token)[0] == 403, token
    assert ask(f"{hub.server}/mlops/api/runs/r1", hub.bob, "DELETE")[0] == 403


def test_the_stream_knows_the_hubs_users(hub: Hub) -> None:
    address = f"{hub.server.replace('http', 'ws', 1)}/mlops/api/stream?since=0"
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        websocket.create_connection(address, timeout=30, header=[f"Authorization: token {hub.bob}"])
    run_id = hub.store.runs.create("{}", ["capture"], title="streamed")
    hub.store.events.append(run_id, 0, "step.progress", {"message": "heard", "fraction": 0.5})
    stream = websocket.create_connection(address, timeout=30, header=[f"Authorization: token {hub.ada}"])
    try:
        while (message := json.loads(stream.recv()))["type"] != "events":
            pass
        assert message["events"][-1]["run_id"] == run_id
    finally:
        stream.close()
