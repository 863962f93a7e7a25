"""Start one replica and learn whether it can serve: its ready file, its error file, one real inference."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import ReplicaFailed, WorkbenchError
from ..store import owner
from . import processes
from .deployment import Deployment
from .record import ReplicaRecord, VersionRecord

START_TIMEOUT_S = 120.0
PROBE_TIMEOUT_S = 30.0

_POLL_S = 0.005


def launch(deployment: Deployment, version: VersionRecord, replica: ReplicaRecord) -> ReplicaRecord:
    """Start a replica's process; return its record with the process, not ready yet."""
    folder = deployment.version_folder(version.version)
    ready = folder / f"{replica.id}.json"
    for path in (ready, _error_file(ready)):
        path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "workbench.serve.replica", "--model", deployment.name]
    command += ["--version", str(version.version), "--bundle", str(folder / "bundle")]
    command += ["--host", _local_host(), "--port", "0", "--ready-file", str(ready)]
    command += ["--threads", str(version.threads), "--loader", version.loader]
    socket_file = deployment.local_socket(replica.id) if version.serving.local else None
    command += version.serving.arguments(deployment.control_group(replica.id).name, socket_file)
    log, given = log_of(deployment, replica), deployment.route().prepare(replica.id)
    if given is None:
        return replace(replica, owner=processes.start_detached(command, log), port=0)
    command += ["--drain-word", f"{processes.INHERITED}:{given.word}"]
    if len(given.handles) > 1:
        command += ["--listen-fd", str(processes.INHERITED + 1)]
    try:
        return replace(replica, owner=processes.start_detached(command, log, given.handles), port=0)
    finally:
        for handle in given.handles:
            os.close(handle)


@functools.cache
def _local_host() -> str:
    """Return this machine's own address, of a socket that takes IPv4 and IPv6 where there are both."""
    dual = "::ffff:127.0.0.1"
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as trial:
        if not trial.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
            trial.bind((dual, 0))
            return dual
    return "127.0.0.1"


def look(deployment: Deployment, replica: ReplicaRecord) -> ReplicaRecord:
    """Return the record with what its process says by now: `ready` and its port, or unchanged.

    Raises
    ------
    ReplicaFailed
        If it died or said that it cannot start; the error holds its reason and its log's tail.
    """
    ready = _ready_file(deployment, replica)
    said = _json(ready)
    if said and said.get("pid") == owner.pid_of(replica.owner):
        grpc_port = int(said.get("grpc_port", 0))
        return replace(replica, state="ready", port=int(said["port"]), grpc_port=grpc_port)
    failure = _json(_error_file(ready))
    if failure or not processes.alive(replica.owner):
        raise failed(deployment, replica, str((failure or {}).get("what", "its process died")))
    return replica


def wait_ready(deployment: Deployment, replicas: tuple[ReplicaRecord, ...]) -> tuple[ReplicaRecord, ...]:
    """Wait until all are ready.

    Raises
    ------
    ReplicaFailed
        If one is not in :data:`START_TIMEOUT_S`.
    """
    until = time.monotonic() + START_TIMEOUT_S
    while any(r.state != "ready" for r in replicas):
        replicas = tuple(look(deployment, r) if r.state != "ready" else r for r in replicas)
        if time.monotonic() > until:
            late = next((r for r in replicas if r.state != "ready"), replicas[0])
            raise failed(deployment, late, f"not ready after {START_TIMEOUT_S:.0f} s")
        time.sleep(_POLL_S)
    return replicas


def probe(deployment: Deployment, version: VersionRecord, replica: ReplicaRecord) -> None:
    """Ask a replica for one real inference over HTTP, with the inputs the model was captured with.

    Raises
    ------
    ReplicaFailed
        If it does not answer, or answers with something that is not finite.
    """
    import numpy as np
    from safetensors.numpy import load_file

    from ..serve.client import InferenceClient

    examples = load_file(deployment.version_folder(version.version) / "bundle" / "examples.safetensors")
    feeds = {key.removeprefix("in."): value for key, value in examples.items() if key.startswith("in.")}
    try:
        with InferenceClient(f"http://127.0.0.1:{replica.port}", timeout_s=PROBE_TIMEOUT_S) as client:
            outputs = client.infer(deployment.name, feeds).outputs
    except WorkbenchError as error:
        raise failed(deployment, replica, f"the probe failed: {error.what}") from error
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise failed(deployment, replica, f"the probe's answer {name!r} holds NaN or Inf")


def exchange(deployment: Deployment, version: VersionRecord, old: ReplicaRecord) -> None:
    """Start another process for a replica, give it its traffic, then drain and stop the old one.

    Raises
    ------
    ReplicaFailed
        If the new one does not become ready; the old one keeps serving.
    """
    fresh = deployment.records.update_with(lambda record: record.with_new_replica(version.version))
    try:
        fresh = launch(deployment, version, fresh)
        deployment.records.update(lambda record: record.with_replica(fresh))
        (fresh,) = wait_ready(deployment, (fresh,))
        probe(deployment, version, fresh)
    except BaseException:
        deployment.let_go(fresh.id)
        raise
    deployment.records.update(lambda record: record.with_replica(fresh))
    deployment.follow_replicas(version.version)
    deployment.let_go(old.id)


def failed(deployment: Deployment, replica: ReplicaRecord, why: str) -> ReplicaFailed:
    """Return the error for a replica, with its log's tail."""
    log = log_of(deployment, replica)
    tail = processes.tail(log)
    return ReplicaFailed(
        f"replica {replica.id} failed: {why}" + (f"\n{tail}" if tail else ""),
        where=str(log),
        fix="mend the model and push again; the deployment is as it was before",
        log=tail,
    )


def log_of(deployment: Deployment, replica: ReplicaRecord) -> Path:
    """Return where a replica logs; it stays after the version is gone."""
    folder = deployment.folder / "logs"
    folder.mkdir(exist_ok=True)
    return folder / f"{replica.id}.log"


def _ready_file(deployment: Deployment, replica: ReplicaRecord) -> Path:
    version = int(replica.id.partition("-")[0])
    return deployment.version_folder(version) / f"{replica.id}.json"


def _error_file(ready: Path) -> Path:
    return ready.with_name(ready.name + ".error")


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except OSError:
        return {}
    return found if isinstance(found, dict) else {}
