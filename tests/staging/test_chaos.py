"""What a death must not do beyond the matrix: clients that wait, a kernel left alone, two users, a hang."""

from __future__ import annotations

import http.client
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.route.traffic import traffic
from tests.staging.conftest import Stage, eventually, in_the_kernel, infer, kill
from tests.staging.test_rollout import ask
from workbench import staging
from workbench.errors import NoPrivilege, StagingError
from workbench.route.kernel.pinned import PINS
from workbench.serve.client import InferenceClient
from workbench.staging import processes
from workbench.store import owner

ONE = np.ones((1, 4), np.float32)


def replica(stage: Stage, track: str) -> int:
    found = stage.status().track(track)
    assert found is not None
    return found.replicas[0].pid


@in_the_kernel
def test_the_only_replica_dies_and_its_clients_wait(stage: Stage) -> None:
    url = stage.push().url
    eventually(lambda: stage.record().supervisor)
    pid, address = replica(stage, "stable"), urlsplit(url)
    lines = [http.client.HTTPConnection(address.hostname or "", address.port, timeout=30) for _ in range(6)]
    accepted, queued = lines[0], lines[1:]
    infer()(accepted)
    accepted.getresponse().read()
    with ThreadPoolExecutor(1) as pool, InferenceClient(url) as shipped:
        shipped.infer("tiny", {"x": ONE})
        assert processes.send(owner.of(pid), signal.SIGSTOP)
        again = pool.submit(shipped.infer, "tiny", {"x": ONE})
        eventually(lambda: vars(shipped._connection)["_HTTPConnection__state"] == "Request-sent")
        for line in lines:
            infer()(line)
        kill(pid)
        # What no process has accepted yet waits in the listener, which the router keeps, for the next one.
        assert [line.getresponse().status for line in queued] == [200] * 5
        # What the dead process had accepted is gone with it: only its client has the bytes, and ours asks again.
        with pytest.raises(ConnectionError):
            accepted.getresponse()
        assert again.result(60).version == "1"
    for line in lines:
        line.close()
    assert [ask(url) for _ in range(3)] == ["1"] * 3  # no connection is refused meanwhile
    assert stage.record().versions[0].replicas[0].restarts == 1


@in_the_kernel
def test_everything_of_ours_dies_and_the_kernel_still_decides(stage: Stage) -> None:
    url = stage.push().url
    stage.push(canary=0.5)
    record = eventually(lambda: (r := stage.record()).supervisor and r)
    status = stage.status()
    processes.stop(record.supervisor, grace_s=0)
    kill(status.route_pid)
    assert {ask(url) for _ in range(20)} == {"1", "2"}
    kill(replica(Frozen(stage), "canary"))
    time.sleep(0.2)  # whoever connects in the moment in which it dies is reset
    assert {ask(url) for _ in range(20)} == {"1"}
    assert eventually(lambda: stage.status().phase == "rolled-back")
    (audit,) = stage.status().rollbacks
    assert audit.flip_ns - audit.breach_ns < 1_000_000


class Frozen(Stage):
    """A stage whose status starts nothing again."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.store, stage.digest, stage.route)

    def status(self, name: str = "tiny") -> staging.DeploymentStatus:
        from workbench.staging.deployment import Deployment
        from workbench.staging.record import Record

        record: Record = self.record(name)
        pid = next(owner.pid_of(r.owner) for v in record.versions if v.version == 2 for r in v.replicas)
        track = staging.TrackStatus(
            "canary", 2, "", 0.5, (staging.ReplicaStatus("2-0", pid, "ready", 0, 0, ""),)
        )
        assert Deployment(self.store, name).records.read() == record
        return staging.DeploymentStatus(name, "staging", "", "canary", "", 0, 0, (track,), (), ())


@in_the_kernel
def test_two_users_and_one_name(stage: Stage) -> None:
    stage.push()
    folder = stage.store.home / "staging" / "staging" / "tiny"
    os.chown(folder, 12345, -1)
    try:
        for operation in (stage.push, lambda: staging.rollback(stage.store, "tiny")):
            with pytest.raises(NoPrivilege, match="user 12345"):
                operation()
    finally:
        os.chown(folder, os.geteuid(), -1)
    with pytest.raises(StagingError, match="neither a canary nor a version before"):
        staging.rollback(stage.store, "tiny")


@in_the_kernel
def test_unstage_unpins_with_a_dead_router(stage: Stage) -> None:
    stage.push(name="lonely")
    assert list(PINS.glob("*/lonely-*"))
    kill(stage.status("lonely").route_pid)
    staging.unstage(stage.store, "lonely")
    assert not list(PINS.glob("*/lonely-*"))


@in_the_kernel
def test_a_stopped_canary_hangs_and_goes(stage: Stage) -> None:
    from workbench.route.policy import Budget

    url = stage.push().url
    stage.push(canary=0.5, budget=Budget(hang_ms=200.0))
    guilty = replica(stage, "canary")
    with traffic(url, infer(), clients=4) as load:
        load.wait_for(20)
        assert processes.send(owner.of(guilty), signal.SIGSTOP)
        eventually(lambda: stage.status().phase == "rolled-back")
        processes.send(owner.of(guilty), signal.SIGCONT)
        load.wait_for(20)
    assert stage.status().rollbacks[-1].reason == "hang"
    assert load.failures == []
