"""What several runs at once share: one Ray node instead of one each, and as many runs as there are processors."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ...errors import RunError, missing_dependency
from .. import child
from .choose import RAY, kind_of
from .ray_node import authenticated, free_port
from .reach import reach

_READY_S = 300.0


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
        yield executor, int(_answer("workbench.pipeline.executors.ray", "size", address))
    else:
        with _node(here) as started:
            yield f"{kind}://{started}", here


def _answer(module: str, *arguments: str) -> str:
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=child.environment(),
            timeout=_READY_S,
            check=True,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = error.stderr or ""  # bytes of one that was ended, whatever `text` says
        raise RunError(
            f"no Ray cluster answers at {arguments[-1]}",
            where=arguments[-1],
            fix="check the address; with a token, set RAY_AUTH_MODE and RAY_AUTH_TOKEN_PATH here too",
            log=(said.decode(errors="replace") if isinstance(said, bytes) else said)[-4000:],
        ) from error
    return done.stdout.split()[-1]


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
