"""Where the root of the cgroup tree lies that this process can see."""

from __future__ import annotations

from pathlib import Path

from ..errors import TraceError


def root() -> str:
    """Return the mount point of cgroup version 2.

    Raises
    ------
    TraceError
        If it is not mounted.
    """
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] == "cgroup2":
            return before.split()[4]
    raise TraceError(
        "cgroup version 2 is not mounted, so connects cannot be refused",
        where="cgroup",
        fix="mount -t cgroup2 none /sys/fs/cgroup/unified",
    )
