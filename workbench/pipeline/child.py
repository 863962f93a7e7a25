"""Starting this workbench's own processes: detached from the caller's terminal and signals."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO


def start(
    module: str,
    *arguments: str,
    out: IO[bytes] | int,
    stdin: int = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``python -m module`` in a session of its own.

    Parameters
    ----------
    module, arguments
        What to run.
    out
        Where standard output and error go.
    stdin, env
        As for :class:`subprocess.Popen`; the environment is by default that of :func:`environment`.
    """
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=stdin,
        stdout=out,
        stderr=subprocess.STDOUT,
        env=environment() if env is None else env,
        start_new_session=True,
    )


STEADY = {
    **dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
    ),
    "PYTHONHASHSEED": "0",
}
"""One thread in every numerical library and one order of hashes: sums and sets come out the same everywhere."""


def steady() -> dict[str, str]:
    """Return the environment of a process that runs steps."""
    return {**environment(), **STEADY}


def environment() -> dict[str, str]:
    """Return the environment of a process that must import this very workbench."""
    root = str(Path(__file__).resolve().parents[2])
    path = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)), "PYTHONUNBUFFERED": "1"}
