"""Starting this workbench's own processes: detached from the caller's terminal and signals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO


def start(
    module: str, *arguments: str, out: IO[bytes] | int, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start ``python -m module`` in a session of its own.

    Parameters
    ----------
    module, arguments
        What to run.
    out
        Where standard output and error go.
    stdin
        As for :class:`subprocess.Popen`.
    """
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=stdin,
        stdout=out,
        stderr=subprocess.STDOUT,
        env=environment(),
        start_new_session=True,
    )


def environment() -> dict[str, str]:
    """Return the environment of a process that must import this very workbench."""
    root = str(Path(__file__).resolve().parents[2])
    path = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)), "PYTHONUNBUFFERED": "1"}
