"""A compiled folder to pack, keys to sign with, and a real registry to send it to."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench import codec
from workbench.package import EnvironmentLock, PackageReport, pack
from workbench.types import Manifest, Signature, TensorSpec

LIMIT_S = 30
ENVIRONMENT = EnvironmentLock("cpython 3.11.2", "linux x86_64", ("numpy==2.4.6", "torch==2.13.0"))
SIGNATURE = Signature((TensorSpec("x", "float32", ("batch", 4)),), (TensorSpec("y", "float32", ("batch",)),))
MANIFEST = Manifest("compiled", (), SIGNATURE, code="0.1.0")
LINEAGE = {"commit": "0" * 40, "data": {"calibration": "sha256:" + "1" * 64}}


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    folder = tmp_path / "compiled"
    (folder / "weights").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"\x08\x0a" * 5000)
    (folder / "weights" / "part-0.bin").write_bytes(os.urandom(3_000_000))
    (folder / "weights" / "empty.bin").write_bytes(b"")
    (folder / "signature.json").write_text(codec.dumps(SIGNATURE))
    (folder / "backend.json").write_text('{"backend": "onnxruntime"}')
    return folder


def do_pack(compiled: Path, out: Path, **changes: Any) -> PackageReport:
    facts = {"manifest": MANIFEST, "lineage": LINEAGE, "environment": ENVIRONMENT, "name": "tiny:int8"}
    return pack(compiled, out, **{**facts, **changes})


class RunningRegistry:
    """A docker-registry on a port of the system's choice, its files in a folder."""

    def __init__(self, folder: Path, port: int = 0, users: str = "") -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", port)) as free:
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        config = folder / "config.yml"
        config.write_text(
            f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
            f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}}}\n"
            f"http: {{addr: '127.0.0.1:{self.port}'}}\n"
        )
        if users:
            (folder / "users").write_text(users)
            with config.open("a") as file:
                file.write(f"auth: {{htpasswd: {{realm: here, path: {folder / 'users'}}}}}\n")
        with (folder / "log").open("ab") as log:
            line = ["docker-registry", "serve", str(config)]
            self.process = subprocess.Popen(line, stdout=log, stderr=log)
        deadline = time.monotonic() + LIMIT_S
        while not self.answers():
            assert self.process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.02)

    def answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        try:
            connection.request("GET", "/v2/")
            return connection.getresponse().status in (200, 401)
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(LIMIT_S)

    def blob(self, digest: str) -> Path:
        """Return where the registry keeps a blob's bytes."""
        name = digest.removeprefix("sha256:")
        return self.folder / f"data/docker/registry/v2/blobs/sha256/{name[:2]}/{name}/data"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RunningRegistry]:
    if shutil.which("docker-registry") is None:
        pytest.skip("no docker-registry (apt-get install docker-registry)")
    folder = tmp_path / "registry"
    folder.mkdir()
    running = RunningRegistry(folder)
    yield running
    running.stop()


class CuttingProxy:
    """Passes bytes to a registry and back, counts them, and cuts every connection after `budget` bytes."""

    def __init__(self, port: int, budget: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._port, self.budget, self.passed = port, budget, 0
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self._port))
            left = [self.budget]
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, target, left), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, left: list[int]) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
                self.passed += len(data)
                left[0] -= len(data)
                if left[0] < 0:
                    break
        except OSError:
            pass
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
