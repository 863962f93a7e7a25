"""How much memory this process could still have: the machine's, or its container's where that is less."""

from __future__ import annotations

from pathlib import Path

_MACHINE = Path("/proc/meminfo")
# A container sees its own control group here: the limit, what is used, and where the part stands that is only a
# cache of files, for version 2 and version 1.
_GROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def free_bytes() -> int:
    """Return it; what caches of files hold counts as free.

    Examples
    --------
    >>> free_bytes() > 0
    True
    """
    fields = dict(line.split(":", 1) for line in _MACHINE.read_text().splitlines())
    free = int(fields["MemAvailable"].split()[0]) * 1024
    return max(0, min([free, *(_left(*group) for group in _GROUPS)]))


def _left(folder: Path, limit: str, used: str, cached: str) -> int:
    """Return what a control group may still take; as good as endless where there is none, or no limit."""
    endless = 1 << 62
    try:
        most = (folder / limit).read_text().strip()
        if most == "max" or int(most) >= endless:
            return endless
        files = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return int(most) - int((folder / used).read_text()) + int(files[cached])
    except (OSError, KeyError, ValueError):
        return endless
