from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.route.traffic import Traffic, traffic
from tests.staging.conftest import MOODY, Stage, both_routes, eventually, infer
from workbench import staging
from workbench.errors import (
    CorruptArtifact,
    DeploymentBusy,
    InputError,
    PortInUse,
    ReplicaFailed,
    ServeError,
    StagingError,
    UnknownArtifact,
    UnknownDeployment,
)
from workbench.serve.client import InferenceClient


def ask(url: str, value: float = 1.0) -> str:
    """Return which version answered one real inference."""
    with InferenceClient(url) as client:
        reply = client.infer("tiny", {"x": np.full((2, 4), value, np.float32)})
    assert reply.outputs["double"].tolist() == [[2 * value] * 4] * 2
    return reply.version


def test_the_first_push_serves_everything_even_as_a_canary(stage: Stage) -> None:
    events: list[str] = []
    status = stage.push(canary=0.1, on_event=lambda event: events.append(event.kind))
    assert (status.phase, status.name, status.env) == ("stable", "tiny", "staging")
    stable = status.track("stable")
    assert stable is not None
    assert (stable.version, stable.weight, stable.package) == (1, 1.0, stage.digest)
    assert status.track("canary") is None
    assert "canary.first" in events
    assert "takes all traffic" in status.events[-1].text
    assert ask(status.url) == "1"


def test_a_status_shows_itself(stage: Stage) -> None:
    status = stage.push()
    ask(status.url)
    status = stage.status()
    (one,) = status.tracks
    assert (one.requests, one.errors) == (1, 0)
    assert one.replicas[0].state == "ready"
    assert one.replicas[0].rss_bytes > 1 << 20
    text = str(status)
    assert "user-space proxy" in text
    assert status.url in text
    assert "<table>" in status._repr_mimebundle_()["text/html"]


@both_routes
def test_nothing_fails_across_canary_promote_rollback_and_hot_swap(stage: Stage) -> None:
    url = stage.push().url
    with traffic(url, infer()) as load:
        load.wait_for(200)
        status = stage.push(canary=0.25)
        assert [(t.track, t.version, t.weight) for t in status.tracks] == [
            ("stable", 1, 0.75),
            ("canary", 2, 0.25),
        ]
        before = load.by_version()
        load.wait_for(400)
        after = load.by_version()
        canary, everything = after["2"] - before["2"], sum(after.values()) - sum(before.values())
        if stage.route == "proxy":  # the kernel gives out connections, and half the clients keep theirs
            assert abs(canary - everything * 0.25) <= 6 + 2 * load.clients  # but for answers on their way
        assert canary > 0
        status = staging.promote(stage.store, "tiny")
        assert [(t.track, t.version) for t in status.tracks] == [("stable", 2)]
        load.wait_for(200)
        stage.push(canary=0.5)
        load.wait_for(200)
        status = staging.rollback(stage.store, "tiny")
        assert [(t.track, t.version) for t in status.tracks] == [("stable", 2)]
        assert status.phase == "rolled-back"
        assert status.rollbacks[-1].by == "person"
        assert_gone(load, "3")
        stage.push(replicas=2)
        load.wait_for(200)
        assert_gone(load, "2")
        staging.restart(stage.store, "tiny")
        load.wait_for(200)
        staging.rollback(stage.store, "tiny")  # no canary: back to the package before
        load.wait_for(200)
    assert load.failures == []
    assert set(load.by_version()) == {"1", "2", "3", "4", "5"}
    assert load.url == stage.status().url


def assert_gone(load: Traffic, version: str) -> None:
    """A version that lost its traffic answers nothing that is asked from now on."""
    load.wait_for(2 * load.clients)
    before = load.by_version()[version]
    load.wait_for(100)
    assert load.by_version()[version] == before


@both_routes
def test_a_bad_canary_is_taken_out_and_stopped_by_itself(stage: Stage) -> None:
    url = stage.push().url
    canary = stage.push(canary=0.5, loader=MOODY).track("canary")
    assert canary is not None
    for _ in range(40):
        with contextlib.suppress(ServeError), InferenceClient(url) as client:  # a bad mood is what it is for
            client.infer("tiny", {"x": np.full((2, 4), -2000, np.float32)})
    eventually(lambda: len(stage.record().versions) == 1)
    status = stage.status()
    assert status.phase == "rolled-back"
    (record,) = status.rollbacks
    assert (record.version, record.by, record.reason, record.observed) == (2, "sentinel", "errors", 8)
    told = eventually(lambda: [e for e in stage.status().events if e.kind == "rolled-back"])
    assert "8 of the last 64 bad" in told[0].text
    assert ask(url) == "1"
    with pytest.raises(StagingError, match="version 2 was already rolled back"):
        staging.promote(stage.store, "tiny")


def test_promote_and_rollback_need_something_to_decide(stage: Stage) -> None:
    with pytest.raises(UnknownDeployment, match="nothing named 'tiny'"):
        staging.promote(stage.store, "tiny")
    stage.push()
    with pytest.raises(StagingError, match="there is no canary"):
        staging.promote(stage.store, "tiny")
    with pytest.raises(StagingError, match="neither a canary nor a version before"):
        staging.rollback(stage.store, "tiny")
    stage.push(canary=0.5)
    with pytest.raises(StagingError, match="version 2 is still a canary"):
        stage.push(canary=0.5)


@both_routes
def test_unstage_leaves_nothing(stage: Stage) -> None:
    status = stage.push(replicas=2)
    eventually(lambda: stage.status().supervisor_pid)
    status = stage.status()
    pids = [status.route_pid, status.supervisor_pid, *(r.pid for t in status.tracks for r in t.replicas)]
    staging.unstage(stage.store, "tiny")
    assert len(pids) == 4
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert staging.status(stage.store) == []
    assert not (stage.store.home / "staging" / "staging" / "tiny").exists()
    with pytest.raises(UnknownDeployment):
        staging.unstage(stage.store, "tiny")


def test_two_pushes_at_once(stage: Stage) -> None:
    stage.push()
    inside, release = threading.Event(), threading.Event()

    def hold(event: object) -> None:
        inside.set()
        release.wait(30)

    other = threading.Thread(target=lambda: stage.push(on_event=hold))
    other.start()
    try:
        assert inside.wait(30)
        with pytest.raises(DeploymentBusy, match=r"push of 'tiny' to staging is running \(pid \d+"):
            stage.push()
    finally:
        release.set()
        other.join(60)
    stable = stage.status().track("stable")
    assert stable is not None
    assert stable.version == 2


@both_routes
def test_an_occupied_port(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=f"port {port} is taken"):
            stage.push(port=port)
    assert staging.status(stage.store) == []
    assert stage.push(port=port).url == f"http://127.0.0.1:{port}"
    with pytest.raises(InputError, match=f"answers on port {port} already, not on 1"):
        stage.push(port=1)


@pytest.mark.parametrize(
    ("loader", "why"),
    [
        ("tests.staging.loaders:load_broken", "these weights are from another world"),
        ("tests.staging.loaders:load_dying", "about to die"),
        ("tests.staging.loaders:load_nan", "holds NaN or Inf"),
        ("tests.staging.no_such:load", "cannot be imported"),
    ],
)
def test_a_replica_that_cannot_serve_changes_nothing(stage: Stage, loader: str, why: str) -> None:
    url = stage.push().url
    with traffic(url, infer(), clients=2) as load:
        load.wait_for(20)
        with pytest.raises(ReplicaFailed, match=why) as caught:
            stage.push(canary=0.5, loader=loader)
        load.wait_for(20)
    assert load.failures == []
    assert "2-0.log" in caught.value.where
    record = stage.record()
    assert [v.version for v in record.versions] == [1]
    assert stage.status().phase == "stable"


@both_routes
def test_a_first_push_that_fails_leaves_no_deployment(stage: Stage) -> None:
    with pytest.raises(ReplicaFailed, match="another world"):
        stage.push(loader="tests.staging.loaders:load_broken")
    assert staging.status(stage.store) == []
    assert ask(stage.push().url) == "1"


def test_bad_asks_are_refused(stage: Stage) -> None:
    for options, error in (
        ({"canary": 1.5}, "between 0 and 1, not 1.5"),
        ({"canary": float("nan")}, "between 0 and 1, not nan"),
        ({"replicas": 0}, "0 replicas asked for"),
        ({"name": "../etc"}, "cannot be a deployment's name"),
        ({"name": "a/b"}, "cannot be a deployment's name"),
    ):
        with pytest.raises(InputError, match=error):
            stage.push(**options)
    with pytest.raises(UnknownArtifact):
        staging.push(stage.store, "sha256:" + "0" * 64, name="tiny")
    assert staging.status(stage.store) == []


def test_a_damaged_package_is_never_started(stage: Stage) -> None:
    blobs = stage.store.artifacts.path(stage.digest) / "blobs" / "sha256"
    blob = max(blobs.iterdir(), key=lambda path: path.stat().st_size)
    blob.chmod(0o600)
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    with pytest.raises(CorruptArtifact):
        stage.push()
    assert staging.status(stage.store) == []
