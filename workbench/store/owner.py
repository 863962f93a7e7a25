"""Who holds something: a process named so that a reused pid is never mistaken for it.

A process is ``pid:start ticks:boot id``. The kernel reuses pids, and start ticks begin again at every boot;
the three together are unique. Locks, runs, steps and scratch folders carry this text, and whoever finds one
can ask :func:`alive`.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

_HOLDER = "holder"
_STATE, _START_TICKS = 0, 19  # fields 3 and 22 of /proc/PID/stat, counted after the command name


def current() -> str:
    """Return the text that names this process.

    Examples
    --------
    >>> alive(current())
    True
    """
    return of(os.getpid())


def of(pid: int) -> str:
    """Return the text that names the process `pid` now; a process that is gone never compares alive."""
    fields = _stat(pid)
    return f"{pid}:{fields[_START_TICKS] if fields else 0}:{_boot()}"


def pid_of(owner: str) -> int:
    """Return the pid in an owner text, or 0 for an empty one."""
    return int(owner.partition(":")[0] or 0)


def alive(owner: str) -> bool:
    """Return whether the named process still runs; a zombie does not."""
    pid, _, rest = owner.partition(":")
    if not pid.isdigit():
        return False
    fields = _stat(int(pid))
    return bool(fields) and fields[_STATE] not in "ZX" and rest == f"{fields[_START_TICKS]}:{_boot()}"


def hand_over(folder: Path, pid: int) -> None:
    """Say that a process needs a scratch folder, and may outlive the one that made it."""
    (folder / _HOLDER).write_text(of(pid))


def holds(folder: Path) -> bool:
    """Return whether the process that made a scratch folder still runs, or the one it was handed to."""
    if alive(folder.name.rpartition(":")[0]):
        return True
    try:
        return alive((folder / _HOLDER).read_text())
    except OSError:
        return False


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()  # the command name may itself hold spaces and brackets


@functools.cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
