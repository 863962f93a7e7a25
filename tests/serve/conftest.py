"""Real replicas for tests: each a process on a port of the system's choice, stopped by its own pid."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.serve.tiny_bundles import write_bundle
from workbench.serve.client import InferenceClient

ROOT = Path(__file__).parents[2]
LIMIT_S = 60


class RunningReplica:
    """A replica process and what it announced."""

    def __init__(self, folder: Path, bundle: Path, *options: str, loader: str = "load") -> None:
        self.ready_file = folder / "ready.json"
        self.error_file = folder / "ready.json.error"
        self.log = folder / "log.jsonl"
        line = [sys.executable, "-m", "workbench.serve.replica", "--model", "tiny", "--version", "1"]
        line += ["--bundle", str(bundle), "--ready-file", str(self.ready_file)]
        line += ["--loader", f"tests.serve.tiny_loaders:{loader}", *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(line, stderr=log, stdout=log, env=environment)

    def wait_ready(self) -> RunningReplica:
        deadline = time.monotonic() + LIMIT_S
        while not self.ready_file.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)
        self.ready: dict[str, Any] = json.loads(self.ready_file.read_bytes())
        self.port: int = self.ready["port"]
        self.url = f"http://{self.ready['host']}:{self.port}"
        return self

    def client(self) -> InferenceClient:
        return InferenceClient(self.url, timeout_s=LIMIT_S)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(LIMIT_S)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(LIMIT_S)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("serve") / "bundle")


@pytest.fixture
def start(tmp_path: Path, bundle: Path) -> Iterator[Callable[..., RunningReplica]]:
    """Start replicas with options; they end with the test."""
    with ExitStack() as stack:

        def begin(*options: str, loader: str = "load", at: Path = bundle) -> RunningReplica:
            folder = tmp_path / f"replica-{len(list(tmp_path.glob('replica-*')))}"
            folder.mkdir()
            replica = RunningReplica(folder, at, *options, loader=loader)
            stack.callback(replica.end)
            return replica

        yield begin


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[RunningReplica]:
    """One replica for a module's tests that do not change it."""
    running = RunningReplica(
        tmp_path_factory.mktemp("shared"), bundle, "--max-body-mib", "1", loader="load_moody"
    )
    try:
        yield running.wait_ready()
    finally:
        running.end()
