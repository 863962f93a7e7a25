"""``python -m workbench.pipeline.waiting OWNER NAME...``: the process that was started ahead of its step.

It loads what steps load, waits for one line on standard input (the order and the log), and becomes
``python -m workbench.pipeline.step``. It ends by itself when whoever started it has ended or has closed the other end
of its standard input. What it loaded may have changed on the disk while it waited, the workbench's own source or an
installed package: then it begins anew as that very program, so that a step's code is always the code that is there.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import sys
from collections.abc import Sequence
from pathlib import Path

from ..package.environment import lock
from ..store import owner
from . import step
from .machine import machine
from .workers.forks import redirect

_PACKAGE = str(Path(__file__).resolve().parents[1]) + os.sep


def load(names: Sequence[str]) -> None:
    """Load modules that steps load, and learn what every step asks of its process."""
    for name in names:
        with contextlib.suppress(Exception):  # the step that needs it will say what is wrong with it
            importlib.import_module(name)
    for remembered in (lambda: lock().digest, machine, owner.current):
        remembered()
    gc.freeze()  # what was loaded stays: the collector need not walk it again and again while a step works


def _state() -> tuple[str, tuple[tuple[str, int], ...]]:
    """Return what tells whether the code that was loaded is the code that is there: packages, our own files."""
    files = sorted(
        file
        for module in list(sys.modules.values())
        if (file := getattr(module, "__file__", None) or "").startswith(_PACKAGE)
    )
    return lock().digest, tuple((file, _changed_ns(file)) for file in files)


def _changed_ns(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns  # noqa: PTH116 - a Path for each of a hundred files costs more
    except FileNotFoundError:
        return 0


def _wait(owner_pid: int) -> dict[str, str] | None:
    """Return the order; None when the one who would give it is gone.

    A fork of it may hold the pipe open that knows nothing of this process, so the process itself is watched too.
    """
    try:
        alive = os.pidfd_open(owner_pid)
    except ProcessLookupError:
        return None
    if os.getppid() != owner_pid:  # it ended before it could be watched, and its number is another's
        return None
    if sys.stdin not in select.select([sys.stdin, alive], [], [])[0]:
        return None
    os.close(alive)
    line = sys.stdin.readline()
    return json.loads(line) if line.endswith("\n") else None


def main(owner_pid: int, names: Sequence[str]) -> int:
    """Load, wait, and run the step that is asked for."""
    load(names)
    before = _state()
    asked = _wait(owner_pid)
    if asked is None:
        return 0
    redirect(Path(asked["log"]))
    if _state() != before:
        os.execv(sys.executable, [sys.executable, "-m", step.__name__, asked["order"]])  # noqa: S606 - no shell is wanted
    return step.main(Path(asked["order"]))


if __name__ == "__main__":
    step.leave(main(int(sys.argv[1]), sys.argv[2:]))
