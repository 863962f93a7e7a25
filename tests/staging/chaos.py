"""The chaos matrix: SIGKILL one process in one phase of a deployment's life, then look at what is left.

A cell is exact: the operation runs in a process of its own that stops at an event and goes on when told, so the
kill falls where its name says. Afterwards the deployment must be whole: the versions it should have, every replica
alive, no process that nobody knows, no operation that is refused, and no request lost beyond those that the killed
process was answering.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.route.traffic import Traffic, traffic
from tests.staging.conftest import LOADER, Stage, eventually, infer
from workbench.errors import DeploymentBusy
from workbench.staging import processes
from workbench.staging.deployment import Deployment
from workbench.store import owner

ROOT = Path(__file__).parents[2]
CLIENTS = 4
VICTIMS = ("supervisor", "route", "stable", "canary", "client")
CONNECTOR = "connector"
"""One more process, where requests are split by sockmap: the one that accepts clients."""

OPERATION = """
import json, sys
from pathlib import Path
from workbench import staging
from workbench.route.policy import Budget
from workbench.store import Store
home, digest, verb, options, stop = sys.argv[1:]

def on_event(event):
    if event.kind == stop:
        print("there", flush=True)
        sys.stdin.readline()

store, options = Store(Path(home)), json.loads(options)
if verb == "push":
    budget = Budget(latency_ms=1e6, hang_ms=1e6)
    staging.push(store, digest, name="tiny", budget=budget, on_event=on_event, **options)
else:
    getattr(staging, verb)(store, "tiny", on_event=on_event)
"""


@dataclass(frozen=True)
class Phase:
    """Where the kill falls.

    Parameters
    ----------
    verb, options
        The operation that is under way.
    stop
        The event at which it waits for the kill; empty: it goes on meanwhile.
    first
        What is pushed before: a canary, or nothing beside the stable version.
    swapped
        Whether the new version is the stable one by then, and the old one leaves.
    """

    verb: str
    stop: str = ""
    first: str = ""
    swapped: bool = False
    options: tuple[tuple[str, Any], ...] = ()


PHASES = {
    "push": Phase("push", "version.starting", options=(("canary", 0.5),)),
    "warm-up": Phase("push", options=(("canary", 0.5), ("loader", "tests.staging.loaders:load_when_told"))),
    "split": Phase("push", "canary", options=(("canary", 0.5),)),
    "rollout": Phase("push", "canary", options=(("canary", [0.2, 0.5, 1.0]), ("every_s", 0.5))),
    "promote": Phase("promote", "promoted", "canary", swapped=True),
    "rollback": Phase("rollback", "rolled-back", "canary"),
    "swap": Phase("push", "stable", swapped=True),
    "drain": Phase("promote", "", "canary", swapped=True),
}
"""``drain``: the old stable version is stopped, so that the promotion waits for it with requests in flight."""


def outcomes(phase: str, victim: str, route: str) -> set[tuple[int, int]]:
    """Return which (stable, canary) versions may be in service afterwards; 0: none."""
    if PHASES[phase].swapped:
        return {(2, 0)}
    if phase == "rollback":
        return {(1, 0)}
    if phase in ("push", "warm-up"):
        return {(1, 0)} if victim in ("client", "canary") else {(1, 2)}
    if phase == "rollout":
        return {(1, 0), (2, 0)} if victim == "canary" else {(2, 0)}
    if victim == "canary" and route != "proxy":  # the sentinel saw it die; the proxy asks the next process
        return {(1, 0)}
    return {(1, 2)}


def most_failures(phase: str, victim: str, route: str) -> float:
    """Return how many requests may fail: those of a dead replica's connections, on a route that splits these."""
    if victim == CONNECTOR:  # each client's connection is its own; one more may be cut as the next one starts
        return 2 * CLIENTS
    if victim in ("stable", "canary") and route != "proxy":
        # One in flight; and, of a track that loses its traffic meanwhile, one that waited for the next process.
        return CLIENTS if victim == "stable" and phase != "rollout" else 2 * CLIENTS
    if victim == "route" and route == "proxy":
        return float("inf")  # nobody listens until it is started again
    return 0


def run_cell(stage: Stage, phase_name: str, victim: str) -> None:
    """Play one cell of the matrix and check what is left."""
    phase = PHASES[phase_name]
    replicas = 2 if stage.route == "proxy" else 1  # the kernel keeps a dead replica's clients waiting
    url = stage.push(replicas=replicas).url
    if phase.first:
        stage.push(canary=0.5, replicas=replicas)
    eventually(lambda: processes.alive(stage.record().supervisor))
    with traffic(url, infer(), clients=CLIENTS, pause_s=0.002) as load:
        load.wait_for(2 * CLIENTS)
        with _operation(stage, phase, replicas) as client:
            if phase_name == "drain":
                _drain(stage, client, victim)
            elif phase_name == "warm-up":
                _warm_up(stage, client, victim)
            else:
                assert client.stdout is not None
                assert client.stdout.readline() == "there\n"
                if (phase_name, victim) == ("push", "canary"):  # it has no process yet
                    _go_on(client)
                    eventually(lambda: _owner(stage, phase, victim))
                _kill(stage, phase, victim, client)
                _go_on(client)
            client.wait(60)
        _check(stage, load, outcomes(phase_name, victim, stage.route))
    allowed = most_failures(phase_name, victim, stage.route)
    assert len(load.failures) <= allowed, (phase_name, victim, load.failures[:5])
    if (phase_name, victim) == ("split", "canary") and stage.route != "proxy":
        (verdict,) = stage.status().rollbacks
        assert (verdict.by, verdict.reason, verdict.version) == ("sentinel", "crash", 2)


@contextlib.contextmanager
def _operation(stage: Stage, phase: Phase, replicas: int) -> Iterator[subprocess.Popen[str]]:
    options = {"loader": LOADER, "replicas": replicas, **dict(phase.options)} if phase.verb == "push" else {}
    command = [sys.executable, "-c", OPERATION, str(stage.store.home), stage.digest]
    command += [phase.verb, json.dumps(options), phase.stop]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as client:
        try:
            yield client
        finally:
            client.kill()


def _go_on(client: subprocess.Popen[str]) -> None:
    assert client.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        client.stdin.write("\n")
        client.stdin.flush()


def _drain(stage: Stage, client: subprocess.Popen[str], victim: str) -> None:
    olds = [one.owner for v in stage.record().versions if v.version == 1 for one in v.replicas]
    for old in olds:
        assert processes.send(old, signal.SIGSTOP)
    try:
        deployment = Deployment(stage.store, "tiny")
        eventually(lambda: deployment.route().state().draining)
        _kill(stage, PHASES["drain"], victim, client)
    finally:
        for old in olds:
            processes.send(old, signal.SIGCONT)


def _warm_up(stage: Stage, client: subprocess.Popen[str], victim: str) -> None:
    folder = Deployment(stage.store, "tiny").version_folder(2)
    eventually(lambda: (folder / "loading").exists())
    eventually(lambda: _owner(stage, PHASES["warm-up"], "canary"))
    _kill(stage, PHASES["warm-up"], victim, client)
    (folder / "go").touch()


def _owner(stage: Stage, phase: Phase, victim: str) -> str:
    """Return a victim's process as an owner text; empty while it has none."""
    record = stage.record()
    if victim == "supervisor":
        return record.supervisor
    if victim in ("route", CONNECTOR):
        names = {
            CONNECTOR: "connector.json",
            "route": "proxy.owner" if stage.route == "proxy" else "router.json",
        }
        about = stage.store.home / "staging" / "staging" / "tiny" / "route" / names[victim]
        return str(json.loads(about.read_bytes())["owner"]) if about.exists() else ""
    number = 1 if (victim == "stable") != phase.swapped else 2
    version = record.version(number)
    return version.replicas[0].owner if version else ""


def _kill(stage: Stage, phase: Phase, victim: str, client: subprocess.Popen[str]) -> None:
    if victim == "client":
        client.kill()
        return
    who = eventually(lambda: _owner(stage, phase, victim))
    assert processes.send(who, signal.SIGKILL), (victim, who)


def _check(stage: Stage, load: Traffic, allowed: set[tuple[int, int]]) -> None:
    """Check that the deployment comes back by itself, whole, and that the next operation finds its way."""
    deployment = Deployment(stage.store, "tiny")
    stage.status()  # a person looks: this starts a dead supervisor again

    def versions() -> tuple[int, int]:
        state = deployment.route().state()
        return tuple(track.version if track else 0 for track in (state.stable, state.canary))  # type: ignore[return-value]

    eventually(lambda: versions() in allowed, 60)
    eventually(lambda: _clears_away(deployment))
    wanted = {number for number in versions() if number}
    try:
        eventually(lambda: not _trouble(stage, wanted), 60)
    except AssertionError:
        pytest.fail(_trouble(stage, wanted) or "it took more than a minute to become whole")
    load.wait_for(5 * CLIENTS)
    assert versions() in allowed


def _clears_away(deployment: Deployment) -> bool:
    """Do what every operation begins with, once the supervisor's own is over: clear away what was left."""
    try:
        with deployment.operation("look"):
            return True
    except DeploymentBusy:
        return False


def _trouble(stage: Stage, wanted: set[int]) -> str:
    """Return what is not whole yet; empty when everything is."""
    status, record = stage.status(), stage.record()
    found = {version.version for version in record.versions}
    if found != wanted:
        return f"versions {found}, not {wanted}"
    for one in (one for version in record.versions for one in version.replicas):
        if one.state != "ready" or not processes.alive(one.owner):
            return f"{one}, alive: {processes.alive(one.owner)}"
    if not (status.route_pid and status.supervisor_pid):
        return f"route {status.route_pid}, supervisor {status.supervisor_pid}"
    strangers = _strangers(stage)
    return f"strangers {strangers}" if strangers else ""


def _strangers(stage: Stage) -> dict[int, str]:
    """Return the processes of this store that no record names, with their command lines."""
    record = stage.record()
    known = {one.owner for version in record.versions for one in version.replicas}
    known |= {
        record.supervisor,
        _owner(stage, PHASES["push"], "route"),
        _owner(stage, PHASES["push"], CONNECTOR),
    }
    found, home = {}, str(stage.store.home)
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if home in (command := path.read_text(errors="replace")):
                found[int(path.parent.name)] = command.replace("\0", " ")
    pids = {owner.pid_of(one) for one in known if one}
    return {pid: command for pid, command in found.items() if pid not in pids}
