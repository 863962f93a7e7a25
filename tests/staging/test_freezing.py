"""One replica of two stands still: the other answers everything, and the first comes back as it was."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from tests.route.traffic import traffic
from tests.staging.conftest import Stage, both_routes, eventually, infer
from workbench import staging
from workbench.errors import StagingError
from workbench.serve.local_client import LocalClient
from workbench.staging.deployment import Deployment
from workbench.staging.serving import Serving
from workbench.staging.status import ReplicaStatus

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="control groups need root here")


def replica(stage: Stage, number: int = 0) -> ReplicaStatus:
    track = stage.status().track("stable")
    assert track is not None
    return track.replicas[number]


def ticks(pid: int) -> int:
    """Return the processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@both_routes
def test_a_frozen_replica_loses_no_request(stage: Stage) -> None:
    url = stage.push(replicas=2).url
    with traffic(url, infer(), clients=4) as load:
        load.wait_for(50)
        status = staging.freeze(stage.store, "tiny", "1-0")
        assert [r.state for t in status.tracks for r in t.replicas] == ["frozen", "ready"]
        used = ticks(replica(stage).pid)
        load.wait_for(300)
        assert ticks(replica(stage).pid) == used
        staging.thaw(stage.store, "tiny", "1-0")
        load.wait_for(500)
    assert load.failures == []
    assert [r.state for r in stage.status().tracks[0].replicas] == ["ready", "ready"]
    assert {"replica.frozen", "replica.thawed"} <= {event.kind for event in stage.record().events}


def test_the_last_replica_is_not_frozen(stage: Stage) -> None:
    stage.push()
    with pytest.raises(StagingError, match="the last that serves"):
        staging.freeze(stage.store, "tiny", "1-0")
    with pytest.raises(StagingError, match="no replica"):
        staging.freeze(stage.store, "tiny", "7-7")
    with pytest.raises(StagingError, match="not frozen"):
        staging.thaw(stage.store, "tiny", "1-0")


def test_a_frozen_replica_that_is_killed_comes_back(stage: Stage) -> None:
    stage.push(replicas=2)
    staging.freeze(stage.store, "tiny", "1-1")
    before = replica(stage, 1).pid
    os.kill(before, signal.SIGKILL)
    Deployment(stage.store, "tiny").thaw(
        stage.record().versions[0].replicas[1]
    )  # an old kernel kills it only then
    eventually(lambda: replica(stage, 1).state == "ready" and replica(stage, 1).pid not in (0, before))


def test_a_frozen_replica_ends_with_its_deployment(stage: Stage) -> None:
    stage.push(replicas=2)
    staging.freeze(stage.store, "tiny", "1-0")
    pid = replica(stage).pid
    staging.unstage(stage.store, "tiny")
    assert not Path(f"/proc/{pid}").exists()


def test_replicas_answer_on_a_socket_file(stage: Stage) -> None:
    stage.push(serving=Serving(local=True))
    with LocalClient(Path(replica(stage).local_socket)) as client:
        answer = client.infer({"x": np.ones((1, 4), np.float32)})
    assert np.isfinite(next(iter(answer.outputs.values()))).all()
