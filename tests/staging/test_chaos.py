"""Kill each process in each phase: what serves goes on, and the next operation finds its way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.route.traffic import traffic
from tests.staging.conftest import Stage, eventually, in_the_kernel, infer, kill
from tests.staging.test_rollout import ask
from workbench import staging
from workbench.errors import NoPrivilege, StagingError
from workbench.route.kernel.router import PINS
from workbench.staging import processes
from workbench.store import owner

ROOT = Path(__file__).parents[2]
DELAYS = (0.0, 0.1, 0.5)

OPERATION = """
import sys
from pathlib import Path
from workbench import staging
from workbench.store import Store
store = Store(Path(sys.argv[1]))
print("go", flush=True)
getattr(staging, sys.argv[2])(store, "tiny")
"""


def killed_operation(stage: Stage, verb: str, delay_s: float) -> None:
    """Start an operation in a process of its own and SIGKILL that a moment later."""
    command = [sys.executable, "-c", OPERATION, str(stage.store.home), verb]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        time.sleep(delay_s)
        process.kill()


def replica(stage: Stage, track: str) -> int:
    found = stage.status().track(track)
    assert found is not None
    return found.replicas[0].pid


@in_the_kernel
def test_each_process_dies_while_a_canary_runs(stage: Stage) -> None:
    url = stage.push(replicas=2).url
    stage.push(canary=0.5)
    eventually(lambda: stage.status().supervisor_pid)
    with traffic(url, infer(), clients=4) as load:
        load.wait_for(50)
        for victim in ("supervisor_pid", "route_pid"):
            before = getattr(stage.status(), victim)
            kill(before)
            load.wait_for(50)
            assert eventually(lambda v=victim, b=before: getattr(stage.status(), v) not in (0, b))
        assert load.failures == []
        assert stage.status().phase == "canary"
        kill(replica(stage, "canary"))
        eventually(lambda: stage.status().phase == "rolled-back")
        load.wait_for(50)
        kill(replica(stage, "stable"))
        load.wait_for(50)
        eventually(lambda: all(r.pid for t in stage.status().tracks for r in t.replicas))
        load.wait_for(50)
    (record,) = stage.status().rollbacks
    assert (record.by, record.reason, record.version) == ("sentinel", "crash", 2)
    assert len(load.failures) <= 2 * load.clients  # what the two dead ones were answering


@in_the_kernel
def test_the_only_replica_dies_and_its_clients_wait(stage: Stage) -> None:
    url = stage.push().url
    eventually(lambda: stage.record().supervisor)
    kill(replica(stage, "stable"))
    assert [ask(url) for _ in range(3)] == ["1"] * 3  # no connection is refused meanwhile
    assert stage.record().versions[0].replicas[0].restarts == 1


@in_the_kernel
@pytest.mark.parametrize("verb", ["promote", "rollback"])
def test_an_operation_dies_on_its_way(stage: Stage, verb: str) -> None:
    url = stage.push().url
    with traffic(url, infer(), clients=4) as load:
        for delay_s in DELAYS:
            stage.push(canary=0.5)
            if delay_s == DELAYS[1]:
                kill(stage.status().route_pid)  # the controller finds no router, and starts one
            killed_operation(stage, verb, delay_s)
            load.wait_for(20)
            if stage.status().phase == "canary":  # it died before it decided
                getattr(staging, verb)(stage.store, "tiny")
            eventually(lambda: len(stage.record().versions) == 1)
            load.wait_for(20)
    assert load.failures == []


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
    with pytest.raises(StagingError, match="there is no canary"):
        staging.rollback(stage.store, "tiny")


@in_the_kernel
def test_unstage_unpins_with_a_dead_router(stage: Stage) -> None:
    before = set(PINS.glob("*/*"))
    stage.push()
    assert set(PINS.glob("*/*")) != before
    kill(stage.status().route_pid)
    staging.unstage(stage.store, "tiny")
    assert set(PINS.glob("*/*")) == before


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
