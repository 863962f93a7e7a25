from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.serve.tiny_bundles import write_bundle
from workbench import codec, package, staging
from workbench.route.kernel.route import remove_pins
from workbench.serve.protocol import InferRequest, encode_request
from workbench.staging import DeploymentStatus, processes
from workbench.staging.record import Record
from workbench.store import ArtifactDraft, Store, owner
from workbench.types import Manifest

both_routes = pytest.mark.parametrize(
    "stage", ["proxy", pytest.param("kernel", marks=pytest.mark.bpf)], indirect=True
)
in_the_kernel = pytest.mark.parametrize(
    "stage", [pytest.param("kernel", marks=pytest.mark.bpf)], indirect=True
)
by_request = pytest.mark.parametrize("stage", [pytest.param("sockmap", marks=pytest.mark.bpf)], indirect=True)
LOADER = "tests.staging.loaders:load"
MOODY = "tests.staging.loaders:load_moody"


@dataclass
class Stage:
    """A store with one tiny package, and a push that names a loader of the tests."""

    store: Store
    digest: str
    route: str = "proxy"

    def push(self, **options: Any) -> DeploymentStatus:
        known = {"name": "tiny", "loader": LOADER, "route": self.route}
        if self.route == "sockmap":  # the kernel's, split by request
            known |= {"route": "kernel", "split": "request"}
        return staging.push(self.store, self.digest, **{**known, **options})

    def status(self, name: str = "tiny") -> DeploymentStatus:
        return staging.status(self.store, name)[0]

    def record(self, name: str = "tiny") -> Record:
        record = codec.from_json(self.store.deployments.get(name, "staging").state)
        assert isinstance(record, Record)
        return record

    def clean_up(self) -> None:
        """End every process that any deployment of this store has, whatever state a test left it in."""
        for row in self.store.deployments.list():
            record = codec.from_json(row.state)
            processes.stop(record.supervisor, grace_s=0)
            route = self.store.home / "staging" / row.env / row.name / "route"
            for path in (
                route / name for name in ("proxy.json", "proxy.owner", "router.json", "connector.json")
            ):
                with contextlib.suppress(OSError):
                    processes.stop(json.loads(path.read_bytes())["owner"], grace_s=0)
            record = codec.from_json(self.store.deployments.get(row.name, row.env).state)
            processes.stop_all([r.owner for v in record.versions for r in v.replicas], grace_s=0)
            if record.route != "proxy":
                remove_pins(route)


@pytest.fixture(scope="session")
def tiny_layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    package.pack(
        write_bundle(folder / "bundle"),
        folder / "layout",
        manifest=Manifest("compiled", ()),
        lineage={},
        environment=package.lock(),
        name="tiny",
    )
    return folder / "layout"


@pytest.fixture
def stage(
    request: pytest.FixtureRequest, tmp_path: Path, tiny_layout: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    store = Store(tmp_path / "store")
    draft = store.scratch() / "package"
    shutil.copytree(tiny_layout, draft)
    route = getattr(request, "param", "proxy")
    stage = Stage(store, store.artifacts.put(ArtifactDraft("package", draft)), route)
    try:
        yield stage
    finally:
        stage.clean_up()
        store.close()


def infer(value: float = 1.0) -> Callable[[http.client.HTTPConnection], None]:
    """Return a request for one real inference, as the load generator sends it."""
    feeds = {"x": np.full((2, 4), value, np.float32)}
    message = encode_request(InferRequest(feeds, (), binary=True, id=""), binary=True)
    return lambda connection: connection.request(
        "POST", "/v2/models/tiny/infer", body=message.body, headers=dict(message.headers)
    )


def kill(pid: int) -> None:
    assert processes.send(owner.of(pid), signal.SIGKILL)


def eventually(condition: Callable[[], Any], timeout_s: float = 30.0) -> Any:
    until = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return found
