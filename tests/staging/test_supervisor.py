from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.route.traffic import traffic
from tests.staging.conftest import LOADER, Stage, both_routes, eventually, infer, kill
from tests.staging.test_rollout import ask
from workbench import staging
from workbench.errors import ReplicaFailed, ServeError
from workbench.staging import processes
from workbench.staging.supervisor import Crashes
from workbench.store import owner

ROOT = Path(__file__).parents[2]
WHILE_ALLOWED = "tests.staging.loaders:load_while_allowed"


def stable_replicas(stage: Stage) -> tuple[staging.ReplicaStatus, ...]:
    track = stage.status().track("stable")
    assert track is not None
    return track.replicas


def test_a_killed_replica_comes_back_and_no_request_fails(stage: Stage) -> None:
    url = stage.push(replicas=2).url
    eventually(lambda: stage.status().supervisor_pid)
    first, other = stable_replicas(stage)
    with traffic(url, infer()) as load:
        load.wait_for(100)
        kill(first.pid)
        load.wait_for(100)
        back = eventually(lambda: [r for r in stable_replicas(stage) if r.restarts and r.state == "ready"])
        load.wait_for(100)
    assert load.failures == []
    assert back[0].id == first.id
    assert back[0].pid not in (0, first.pid)
    assert {r.pid for r in stable_replicas(stage)} == {back[0].pid, other.pid}
    kinds = [event.kind for event in stage.status().events]
    assert kinds.count("replica.died") == 1
    assert kinds.count("replica.ready") == 1


def answered(url: str) -> str:
    """Return what answers, empty while nobody does."""
    with contextlib.suppress(ServeError):
        return ask(url)
    return ""


@both_routes
def test_a_killed_supervisor_is_replaced_and_adopts_the_living(stage: Stage) -> None:
    url = stage.push().url
    old = eventually(lambda: stage.status().supervisor_pid)
    (before,) = stable_replicas(stage)
    kill(old)
    assert ask(url) == "1"
    new = eventually(lambda: (pid := stage.status().supervisor_pid) != old and pid)
    assert new != old
    (same,) = stable_replicas(stage)
    assert (same.pid, same.restarts) == (before.pid, 0)
    kill(same.pid)
    (back,) = eventually(
        lambda: [r for r in stable_replicas(stage) if r.restarts == 1 and r.state == "ready"]
    )
    assert back.pid != same.pid
    assert eventually(lambda: answered(url)) == "1"  # the route hears of it a moment after the record


@both_routes
def test_replica_and_supervisor_killed_together(stage: Stage) -> None:
    url = stage.push().url
    kill(eventually(lambda: stage.status().supervisor_pid))
    (one,) = stage.record().versions[0].replicas
    processes.send(one.owner, signal.SIGKILL)
    eventually(lambda: [r for r in stable_replicas(stage) if r.restarts and r.state == "ready"])
    assert ask(url) == "1"


@both_routes
def test_a_killed_route_comes_back_on_its_address(stage: Stage) -> None:
    status = stage.push()
    eventually(lambda: stage.status().supervisor_pid)
    kill(status.route_pid)
    route_pid = eventually(lambda: (pid := stage.status().route_pid) != status.route_pid and pid)
    assert route_pid
    assert ask(status.url) == "1"


def test_the_supervisor_alone_restarts_the_proxy(stage: Stage) -> None:
    status = stage.push()
    eventually(lambda: stage.record().supervisor)
    kill(status.route_pid)
    eventually(lambda: [e for e in stage.record().events if e.kind == "route.restarted"])
    assert ask(status.url) == "1"


def test_a_crash_loop_ends(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    url = stage.push().url
    stage.push(canary=0.5, loader=WHILE_ALLOWED)
    eventually(lambda: stage.record().supervisor)
    forbidden = stage.store.home / "staging" / "forbidden"
    forbidden.touch()
    (canary,) = [v for v in stage.record().versions if v.version == 2]
    processes.send(canary.replicas[0].owner, signal.SIGKILL)
    eventually(lambda: stage.status().phase == "rolled-back", 60)
    (record,) = stage.status().rollbacks
    assert (record.version, record.by, record.reason) == (2, "supervisor", "no replica stays alive")
    eventually(lambda: len(stage.record().versions) == 1)
    assert "replica.failed" in [event.kind for event in stage.record().events]
    assert ask(url) == "1"


def test_a_restart_gives_up_on_nothing_that_serves(stage: Stage) -> None:
    url = stage.push(loader=WHILE_ALLOWED).url
    (before,) = stable_replicas(stage)
    (stage.store.home / "staging" / "forbidden").touch()
    with pytest.raises(ReplicaFailed, match="replica 1-1 failed"):
        staging.restart(stage.store, "tiny")
    assert [r.pid for r in stable_replicas(stage)] == [before.pid]
    assert ask(url) == "1"


PUSHER = """
import sys
from pathlib import Path
from workbench import staging
from workbench.store import Store
status = staging.push(Store(Path(sys.argv[1])), sys.argv[2], name="tiny", loader=sys.argv[3], route=sys.argv[4])
print(status.url, flush=True)
"""


def test_replicas_outlive_whoever_pushed_them(stage: Stage) -> None:
    command = [sys.executable, "-c", PUSHER, str(stage.store.home), stage.digest, LOADER, stage.route]
    pusher = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert pusher.stdout is not None
    url = pusher.stdout.readline().strip()
    os.killpg(pusher.pid, signal.SIGKILL)  # everything in its session, as a terminal that closes
    pusher.wait(10)
    pusher.stdout.close()
    assert ask(url) == "1"
    assert stage.push().url == url
    assert ask(url) == "2"


@both_routes
def test_a_push_killed_on_its_way_is_cleared_away(stage: Stage) -> None:
    url = stage.push().url
    slow = PUSHER.replace(
        ", route=sys.argv[4])", ", route=sys.argv[4], on_event=lambda e: print(e.kind, flush=True))"
    )
    command = [sys.executable, "-c", slow, str(stage.store.home), stage.digest, LOADER, stage.route]
    pusher = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert pusher.stdout is not None
    assert pusher.stdout.readline().strip() == "version.starting"
    pending = eventually(
        lambda: [r for v in stage.record().versions for r in v.replicas if v.version == 2 and r.owner]
    )
    pusher.kill()
    pusher.wait(10)
    pusher.stdout.close()
    status = stage.push()  # takes over the dead holder's lock
    assert [(t.track, t.version) for t in status.tracks] == [("stable", 3)]
    assert not any(owner.alive(r.owner) for r in pending)
    assert ask(url) == "3"


def test_back_off_doubles_and_forgets() -> None:
    crashes = Crashes(started_s=0.0)
    waits = []
    for _ in range(8):
        crashes.died(1.0)
        waits.append(round(crashes.not_before_s - 1.0, 3))
    assert waits == [0.0, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0]
    crashes.died(1000.0)
    assert (crashes.count, crashes.not_before_s) == (1, 1000.0)


@both_routes
def test_unstage_right_after_push_is_final(stage: Stage) -> None:
    """The supervisor has hardly begun; it must not bring back what was stopped."""
    for name in ("tiny", "other", "third"):
        stage.push(name=name)
        staging.unstage(stage.store, name)
    time.sleep(0.5)  # long enough for a supervisor that was overlooked to act
    home = str(stage.store.home)
    assert [line for path in Path("/proc").glob("[0-9]*/cmdline") if home in (line := text(path))] == []


def text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the process ended meanwhile
        return ""
