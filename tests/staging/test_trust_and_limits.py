"""What a push may ask of its replicas, and packages that are never started."""

from __future__ import annotations

import http.client
import json
import shutil
from pathlib import Path

import pytest

from tests.serve.tiny_bundles import write_bundle
from tests.staging.conftest import Stage, eventually
from workbench import package
from workbench.errors import ReplicaFailed, UnknownDeployment, UntrustedPackage
from workbench.package.keys import TRUST_FOLDER, new_key, read_signing
from workbench.serve.client import InferenceClient
from workbench.serve.control_group import Mounts
from workbench.staging.deployment import Deployment
from workbench.staging.serving import Serving
from workbench.store import ArtifactDraft
from workbench.types import Manifest

X = [[1.0, 2.0, 3.0, 4.0]]


def signed_package(stage: Stage, key: Path, folder: Path) -> str:
    new_key(key)
    out = stage.store.scratch() / "package"
    package.pack(
        write_bundle(folder / "bundle"),
        out,
        manifest=Manifest("compiled", ()),
        lineage={},
        environment=package.lock([]),
        name="tiny",
        key=read_signing(key),
    )
    return stage.store.artifacts.put(ArtifactDraft("package", out))


def trust(stage: Stage, public: Path) -> None:
    (stage.store.home / TRUST_FOLDER).mkdir(exist_ok=True)
    shutil.copy(public, stage.store.home / TRUST_FOLDER)


def test_an_untrusted_package_is_never_unpacked_or_started(stage: Stage, tmp_path: Path) -> None:
    strangers = signed_package(stage, tmp_path / "strangers", tmp_path)
    new_key(tmp_path / "mine")
    trust(stage, tmp_path / "mine.pub")
    for digest, text in ((stage.digest, "it is not signed"), (strangers, "no trusted key")):
        with pytest.raises(UntrustedPackage, match=text):
            stage.push(name="tiny") if digest == stage.digest else Stage(stage.store, digest).push()
        with pytest.raises(UnknownDeployment):
            stage.status()
        assert not list((stage.store.home / "staging").rglob("model.onnx"))


def test_a_trusted_package_is_served_and_an_untrusted_one_does_not_replace_it(
    stage: Stage, tmp_path: Path
) -> None:
    good = signed_package(stage, tmp_path / "mine", tmp_path)
    trust(stage, tmp_path / "mine.pub")
    served = Stage(stage.store, good).push()
    with pytest.raises(UntrustedPackage):
        stage.push()
    with InferenceClient(served.url) as client:
        assert client.ready("tiny")


def test_replicas_serve_batches_and_grpc_within_limits(stage: Stage) -> None:
    mounts = Mounts.read()
    if not {"memory", "pids"} <= mounts.controllers.keys() and not mounts.offers("memory"):
        pytest.skip("no control groups here")
    try:
        served = stage.push(serving=Serving(max_batch=4, grpc=True, memory_bytes=2 << 30, pids=300))
    except ReplicaFailed as error:
        if "does not take the limit" in str(error):
            pytest.skip("control groups need root")
        raise
    deployment = Deployment(stage.store, "tiny")
    (version,) = stage.record().versions
    group = deployment.control_group(version.replicas[0].id)
    assert group.processes()
    ready = json.loads((deployment.version_folder(1) / f"{version.replicas[0].id}.json").read_bytes())
    assert ready["grpc_port"] > 0
    connection = http.client.HTTPConnection("127.0.0.1", version.replicas[0].port, timeout=30)
    connection.request("GET", "/metrics")
    assert b"mlops_batch_cost_seconds" in connection.getresponse().read()
    connection.close()
    assert served.phase == "stable"
    stage.push(serving=Serving())  # its own version's limits end with it
    eventually(lambda: not group.folders())
