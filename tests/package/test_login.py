"""Registries that want to know who asks."""

from __future__ import annotations

import base64
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.package.conftest import RunningRegistry, do_pack
from workbench.errors import RegistryError
from workbench.package import pull_layout, push_layout
from workbench.package.login import VARIABLE, Login, credentials
from workbench.package.reference import Reference

# bcrypt of "s3cret-word"
USERS = "ann:$2b$05$abcdefghijklmnopqrstuuEpHRRKIlpAGo.iP7Bpa.htQEJMAAnRe\n"


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[RunningRegistry]:
    if shutil.which("docker-registry") is None:
        pytest.skip("no docker-registry (apt-get install docker-registry)")
    (tmp_path / "closed").mkdir()
    running = RunningRegistry(tmp_path / "closed", users=USERS)
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


def test_a_registry_with_a_password(
    compiled: Path, tmp_path: Path, closed: RunningRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    do_pack(compiled, tmp_path / "layout")
    place = Reference.parse(f"{closed.url}/models/tiny:1")
    with pytest.raises(RegistryError, match="MLOPS_REGISTRY_AUTH"):
        push_layout(tmp_path / "layout", place)
    monkeypatch.setenv(VARIABLE, "ann:wrong-word")
    with pytest.raises(RegistryError, match="MLOPS_REGISTRY_AUTH") as caught:
        push_layout(tmp_path / "layout", place)
    assert "wrong-word" not in str(caught.value) + json.dumps(caught.value.to_json())
    monkeypatch.delenv(VARIABLE)
    (tmp_path / "docker").mkdir()
    auth = base64.b64encode(b"ann:s3cret-word").decode()
    known = {"auths": {f"127.0.0.1:{closed.port}": {"auth": auth}}}
    (tmp_path / "docker" / "config.json").write_text(json.dumps(known))
    pushed = push_layout(tmp_path / "layout", place)
    assert pull_layout(place, tmp_path / "back", tmp_path / "part").digest == pushed.digest


class TokenServer(BaseHTTPRequestHandler):
    """Gives a token to ann, and says what it was asked."""

    asked: list[str]

    def do_GET(self) -> None:
        TokenServer.asked = [self.path]
        known = self.headers.get("authorization") == "Basic " + base64.b64encode(b"ann:word").decode()
        body = json.dumps({"token": "t-1"} if known else {}).encode()
        self.send_response(200 if known else 401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def tokens() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), TokenServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/token"
    server.shutdown()
    server.server_close()


def test_a_registry_that_wants_a_token(tokens: str, monkeypatch: pytest.MonkeyPatch) -> None:
    login = Login("http://127.0.0.1:5000")
    challenge = f'Bearer realm="{tokens}",service="reg",scope="repository:a/b:pull,push"'
    with pytest.raises(RegistryError, match="no token for this login"):
        login.answer(challenge)
    monkeypatch.setenv(VARIABLE, "ann:word")
    assert login.headers() == {}
    assert login.answer(challenge)
    assert login.headers() == {"authorization": "Bearer t-1"}
    assert TokenServer.asked == ["/token?service=reg&scope=repository%3Aa%2Fb%3Apull%2Cpush"]
    assert login.answer(challenge)  # it has run out: another one


@pytest.mark.parametrize("challenge", ['Basic realm="x"', 'Bearer realm="http://10.0.0.1/token"'])
def test_no_password_goes_out_in_the_clear(challenge: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "ann:word")
    with pytest.raises(RegistryError, match="in the clear"):
        Login("http://10.0.0.1:5000").answer(challenge)


@pytest.mark.parametrize("challenge", ["", "Digest x", "Bearer", 'Basic realm="x"'])
def test_what_cannot_be_answered(challenge: str) -> None:
    assert not Login("http://127.0.0.1:5000").answer(challenge)


@pytest.mark.parametrize("text", ["", "[]", '{"auths": []}', '{"auths": {"h:1": {"auth": "%"}}}'])
def test_a_docker_configuration_that_says_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text(text)
    assert credentials("http://h:1") == ""
