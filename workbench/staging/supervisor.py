"""The process that keeps a deployment alive when nobody looks: ``python -m workbench.staging.supervisor``.

One a deployment, detached, needing nobody. It starts dead replicas again (with back-off, and not for ever),
starts a dead route again on its address, and finishes what the route's sentinel decided: drain and stop a
canary that lost its traffic. It holds no state of its own that matters: killed at any moment, the next one
reads the record, finds the living processes by their owner texts and goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import DeploymentBusy, ReplicaFailed, UnknownDeployment, WorkbenchError
from ..route.state import RouteState, roll_back
from ..store import Store, owner
from . import processes, replica, rollout_plan
from .cuda_watch import CudaWatch
from .deployment import DRAIN, Deployment
from .record import ReplicaRecord, VersionRecord

MAX_CRASHES = 6
"""Deaths in a row, each within :data:`STEADY_S` of its start, after which a replica is given up."""

STEADY_S = 30.0

_TICK_S = 0.5
_FIRST_DELAY_S, _MOST_DELAY_S = 0.2, 10.0


@dataclass
class Crashes:
    """How one process has behaved lately."""

    count: int = 0
    started_s: float = 0.0
    not_before_s: float = 0.0

    def died(self, now_s: float) -> None:
        """Count a death; the first start again is at once, the next ones wait twice as long each."""
        self.count = self.count + 1 if now_s - self.started_s < STEADY_S else 1
        delay = _FIRST_DELAY_S * 2 ** (self.count - 2) if self.count > 1 else 0.0
        self.not_before_s = now_s + min(delay, _MOST_DELAY_S)


class Supervisor:
    """Looks after one deployment; :meth:`tick` is one look."""

    def __init__(self, deployment: Deployment, clock: Callable[[], float] = time.monotonic) -> None:
        self.deployment = deployment
        self._clock = clock
        self._crashes: dict[str, Crashes] = {}
        self._known_dead: dict[str, str] = {}
        self._cuda = CudaWatch()

    def tick(self) -> None:
        """Put right whatever is wrong now.

        Raises
        ------
        UnknownDeployment
            When the deployment is gone, and so the reason to live.
        """
        self._keep_route()
        state = self.deployment.route().state()
        if state.draining is not None:
            with contextlib.suppress(DeploymentBusy), self.deployment.operation(DRAIN):
                pass  # an operation begins by clearing away what gets no traffic
        for track in (state.stable, state.canary):
            version = self.deployment.records.read().version(track.version) if track else None
            for one in version.replicas if version else ():
                if version is not None:
                    self._keep(version, one)
        self._give_up_canary(self.deployment.route().state())
        if state.canary is not None or (state.stable and any(e.grpc_port for e in state.stable.endpoints)):
            self.deployment.route().refresh()
        if state.canary is not None:
            self._cuda.look(self.deployment.route(), state.budget, state.canary.endpoints)
        else:
            self._cuda.close()
        rollout_plan.advance(self.deployment)

    def sleep(self) -> None:
        """Wait for the next death or the next tick."""
        versions = self.deployment.records.read().versions
        living = [one.owner for v in versions for one in v.replicas if one.state == "ready"]
        waiting = any(one.state == "restarting" for v in versions for one in v.replicas)
        processes.wait_for_a_death(living, 0.05 if waiting else _TICK_S)

    def _keep_route(self) -> None:
        crashes = self._crashes.setdefault("route", Crashes())
        if self.deployment.route().alive() or self._clock() < crashes.not_before_s:
            return
        crashes.died(self._clock())
        crashes.started_s = self._clock()
        try:
            self.deployment.start_route()
            self.deployment.note("route.restarted", "the route died and was started again")
        except WorkbenchError as error:
            self.deployment.note("route.failed", error.what)

    def _keep(self, version: VersionRecord, one: ReplicaRecord) -> None:
        living = one.state in ("ready", "frozen")
        if one.state in ("new", "leaving", "failed") or (living and processes.alive(one.owner)):
            return
        crashes = self._crashes.setdefault(one.id, Crashes(started_s=self._clock()))
        if one.state == "restarting" and one.owner != self._known_dead.get(one.id):
            if self._has_started(one, crashes):
                return
        elif living:
            self.deployment.thaw(one)
            one = self._mourn(one, crashes, "its process died")
        if crashes.count >= MAX_CRASHES:
            self._set(one, replace(one, state="failed", owner="", port=0))
            self.deployment.note("replica.failed", f"{one.id} died {crashes.count} times in a row: given up")
        elif self._clock() >= crashes.not_before_s:
            self._start_again(version, one, crashes)

    def _has_started(self, one: ReplicaRecord, crashes: Crashes) -> bool:
        """Return whether a restarting replica is ready or may still become so."""
        try:
            seen = replica.look(self.deployment, one)
        except ReplicaFailed as error:
            self._mourn(one, crashes, error.what.partition("\n")[0])
            return False
        if seen.state == "ready":
            self._set(one, seen)
            self.deployment.note("replica.ready", f"{one.id} serves again")
        elif self._clock() - crashes.started_s > replica.START_TIMEOUT_S:
            processes.stop(one.owner, grace_s=0)
        return True

    def _mourn(self, one: ReplicaRecord, crashes: Crashes, why: str) -> ReplicaRecord:
        crashes.died(self._clock())
        self._known_dead[one.id] = one.owner
        dead = replace(one, state="restarting", port=0, grpc_port=0)  # its port may be a stranger's soon
        self._set(one, dead)
        self.deployment.note("replica.died", f"{one.id} (pid {owner.pid_of(one.owner)}): {why}")
        return dead

    def _start_again(self, version: VersionRecord, one: ReplicaRecord, crashes: Crashes) -> None:
        crashes.started_s = self._clock()
        fresh = replica.launch(self.deployment, version, replace(one, restarts=one.restarts + 1))
        record = self.deployment.records.update(lambda record: record.with_replica(fresh, was=one))
        if record.replica(one.id) != fresh:  # an operation took it away meanwhile
            processes.stop(fresh.owner, grace_s=0)

    def _set(self, was: ReplicaRecord, one: ReplicaRecord) -> None:
        self.deployment.records.update(lambda record: record.with_replica(one, was=was))
        self.deployment.follow_replicas(int(one.id.partition("-")[0]))

    def _give_up_canary(self, state: RouteState) -> None:
        version = self.deployment.records.read().version(state.canary.version) if state.canary else None
        if version is None or any(one.state != "failed" for one in version.replicas):
            return
        number = version.version

        def change(now: RouteState) -> RouteState:
            guilty = now.canary is not None and now.canary.version == number
            if not guilty:
                return now
            return roll_back(
                now, decided_ns=time.time_ns(), evidence="no replica stays alive", by="supervisor"
            )

        self.deployment.route().update(change)
        self.deployment.note("rolled-back", f"version {number}: none of its replicas stays alive")


def main(arguments: list[str] | None = None) -> int:
    """Look after a deployment until it is gone or SIGTERM comes."""
    line = argparse.ArgumentParser(prog="python -m workbench.staging.supervisor")
    line.add_argument("--home", required=True, type=Path)
    line.add_argument("--name", required=True)
    line.add_argument("--env", required=True)
    options = line.parse_args(arguments)
    deployment = Deployment(Store(options.home), options.name, options.env)
    try:
        lock = os.open(deployment.folder / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (FileNotFoundError, BlockingIOError):
        return 0  # the deployment is gone, or another one looks after it
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.append(number))
    me = owner.current()
    supervisor = Supervisor(deployment)
    with contextlib.suppress(UnknownDeployment):
        while not stopping:
            try:
                # A second one, started in error, may have put its name here before it saw our lock and left.
                deployment.records.update(lambda record: replace(record, supervisor=me))
                supervisor.tick()
                supervisor.sleep()
            except UnknownDeployment:
                raise
            except (WorkbenchError, OSError) as error:  # a full disk, say: it may be better in a moment
                print(error, file=sys.stderr, flush=True)
                time.sleep(_TICK_S)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
