"""What several runs at once share: one Ray node and one connection instead of one each, and the processors."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ...errors import RunError, missing_dependency
from .. import child
from .choose import RAY, kind_of
from .ray_node import authenticated, free_port
from .ray_relay import VARIABLE
from .reach import reach

_READY_S = 300.0
_LEAVES_S = 30.0


@contextlib.contextmanager
def shared(executor: str) -> Iterator[tuple[str, int]]:
    """Give the executor that several runs share while this is open, and how many steps it works on at once.

    ``ray`` becomes the address of a node started for all of them; for a cluster its processors are counted.

    Raises
    ------
    MissingDependency
        If Ray is not installed.
    RunError
        If there is no cluster at the address, or the node does not start.
    """
    here = len(os.sched_getaffinity(0))
    if kind_of(executor) == RAY and importlib.util.find_spec("ray") is None:
        raise missing_dependency("ray", "ray")
    kind, _, address = executor.partition("://")
    if kind_of(executor) != RAY:
        yield executor, here
    elif address:
        reach(address)
        with _connection("workbench.pipeline.executors.ray_shared", address) as processors:
            yield executor, processors
    else:
        with _node(here) as started, _connection("workbench.pipeline.executors.ray_shared", started):
            yield f"{kind}://{started}", here


@contextlib.contextmanager
def _connection(program: str, address: str) -> Iterator[int]:
    """Give how many processors a cluster has; while it is open, every run's host goes through one connection."""
    folder = tempfile.mkdtemp(prefix="mlops-shared-")
    path = f"{folder}/socket"
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", program, address, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=child.steady(),
            start_new_session=True,
        )
        assert process.stdin is not None, "it was started with one"
        assert process.stdout is not None, "it was started with one"
        leaves_s = 0.0
        try:
            ready, _, _ = select.select([process.stdout], [], [], _READY_S)
            said = process.stdout.readline() if ready else b""
            if not said:
                raise _silent(address, errors)
            leaves_s = _LEAVES_S
            os.environ[VARIABLE] = f"{address} {path}"
            yield int(json.loads(said)["processors"])
        finally:
            os.environ.pop(VARIABLE, None)
            process.stdin.close()
            if not leaves_s:  # it has nothing to do yet, and may wait for a cluster for minutes
                process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # steps of a run that nobody waits for
                process.wait(leaves_s or None)
            process.stdout.close()
            shutil.rmtree(folder, ignore_errors=True)


def _silent(address: str, errors: IO[bytes]) -> RunError:
    errors.seek(0)
    return RunError(
        f"no Ray cluster answers at {address}",
        where=address,
        fix="check the address; with a token, set RAY_AUTH_MODE and RAY_AUTH_TOKEN_PATH here too",
        log=errors.read()[-4000:].decode(errors="replace"),
    )


@contextlib.contextmanager
def _node(cpus: int) -> Iterator[str]:
    """Give the address of a Ray node that lives as long as this process wants it, and never longer."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        ours = authenticated(Path(folder))
        os.environ.update(ours)
        address = f"127.0.0.1:{free_port()}"
        command = [sys.executable, "-m", "workbench.pipeline.executors.ray_node", folder, address, str(cpus)]
        try:
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=child.environment(), text=True
            ) as process:
                assert process.stdout is not None, "it was started with one"
                if process.stdout.readline().strip() != "ready":
                    raise RunError("the Ray node did not come up", where=address, fix="try again")
                yield address
        finally:
            for name in ours:
                os.environ.pop(name, None)
                if name in before:
                    os.environ[name] = before[name]
