"""Limits on a process and its children that the kernel keeps: memory, CPU, number of tasks; and freezing them.

Two forms of the kernel's interface are spoken, because many machines mix them::

    version 2   one folder below the cgroup2 mount        memory.max   cpu.max               pids.max  cgroup.freeze
    version 1   one folder below each controller's mount  memory.limit_in_bytes  cpu.cfs_*   pids.max  freezer.state

A controller that version 2 offers is used there, else where version 1 has it mounted. What cannot be limited is
an error: a limit that somebody asked for and that does not hold is worse than none.

https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/admin-guide/cgroup-v1/
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, ServeError

_PERIOD_US = 100_000
_LINGER_S = 1.0
_MOUNTS = Path("/proc/self/mounts")


@dataclass(frozen=True)
class Limits:
    """What a group may use; 0 means no limit.

    Parameters
    ----------
    memory_bytes
        Resident memory and page cache; beyond it the kernel reclaims, then kills.
    cpus
        CPU seconds in a second, e.g. 0.5.
    pids
        Processes and threads.
    """

    memory_bytes: int = 0
    cpus: float = 0.0
    pids: int = 0


@dataclass(frozen=True)
class Mounts:
    """Where the kernel's control groups are: the version 2 folder, and version 1 folders by controller."""

    unified: Path | None
    controllers: dict[str, Path]

    @classmethod
    def read(cls, table: Path = _MOUNTS) -> Mounts:
        """Return what is mounted."""
        unified: Path | None = None
        controllers: dict[str, Path] = {}
        for line in table.read_text().splitlines():
            _, folder, kind, options = line.split()[:4]
            if kind == "cgroup2":
                unified = Path(folder)
            elif kind == "cgroup":
                controllers |= {option: Path(folder) for option in options.split(",")}
        return cls(unified, controllers)

    def offers(self, controller: str) -> bool:
        """Return whether version 2 has this controller."""
        if self.unified is None:
            return False
        return controller in (self.unified / "cgroup.controllers").read_text().split()


class ControlGroup:
    """One group, existing or not.

    Parameters
    ----------
    name
        Path below each mount, e.g. ``mlops/minilm-1``.
    mounts
        Where the mounts are; by default this machine's.

    Raises
    ------
    InputError
        If the name leaves the mounts.
    """

    def __init__(self, name: str, mounts: Mounts | None = None) -> None:
        if not name or name.startswith("/") or not set(name.split("/")).isdisjoint({"", ".", ".."}):
            raise InputError(
                f"{name!r} cannot be a control group", where="--control-group", fix="mlops/minilm-1"
            )
        self.name = name
        self._mounts = mounts or Mounts.read()

    def limit(self, limits: Limits) -> None:
        """Make the group where needed and set its limits.

        Raises
        ------
        ServeError
            If the kernel does not let us, or has no such controller.
        """
        if limits.memory_bytes:
            self._set(
                "memory", {"memory.max": limits.memory_bytes}, {"memory.limit_in_bytes": limits.memory_bytes}
            )
        if limits.cpus:
            quota = max(1000, round(limits.cpus * _PERIOD_US))  # the kernel takes no quota below 1 ms
            one = {"cpu.cfs_period_us": _PERIOD_US, "cpu.cfs_quota_us": quota}
            self._set("cpu", {"cpu.max": f"{quota} {_PERIOD_US}"}, one)
        if limits.pids:
            self._set("pids", {"pids.max": limits.pids}, {"pids.max": limits.pids})

    def join(self, pid: int = 0) -> None:
        """Move a process (0: this one) into every folder that the group has.

        Raises
        ------
        ServeError
            If the kernel does not let us.
        """
        for folder in self.folders():
            _write(folder / "cgroup.procs", pid)

    def freeze(self, frozen: bool, *, pid: int = 0, timeout_s: float = 5.0) -> None:
        """Stop every task of the group where it stands, or let all go on; returns once it is so.

        Parameters
        ----------
        frozen
            Which of the two.
        pid
            A process to take into the group first; 0 for none.
        timeout_s
            How long to wait for the tasks.

        Raises
        ------
        ServeError
            If the kernel does not let us, or the tasks do not stop in `timeout_s`.
        """
        if self._mounts.unified is not None:
            folder = self._with_all(self._mounts.unified, pid)
            _write(folder / "cgroup.freeze", int(frozen))
            _wait(folder / "cgroup.events", f"frozen {int(frozen)}", timeout_s)
        else:
            folder = self._with_all(self._version_1("freezer"), pid)
            word = "FROZEN" if frozen else "THAWED"
            _write(folder / "freezer.state", word)
            _wait(folder / "freezer.state", word, timeout_s)

    def unified(self) -> Path:
        """Return the group's version 2 folder, made where needed: what BPF programs attach to.

        Raises
        ------
        ServeError
            If version 2 is not mounted, or the kernel does not let us.
        """
        if self._mounts.unified is None:
            raise ServeError(
                "no control groups of version 2 here", where=self.name, fix="push without --egress"
            )
        return self._made(self._mounts.unified)

    def processes(self) -> set[int]:
        """Return the processes of the group."""
        return {
            int(pid) for folder in self.folders() for pid in (folder / "cgroup.procs").read_text().split()
        }

    def folders(self) -> list[Path]:
        """Return the group's folders that exist."""
        roots = {*self._mounts.controllers.values()} | (
            {self._mounts.unified} if self._mounts.unified else set()
        )
        return sorted(root / self.name for root in roots if root and (root / self.name).is_dir())

    def remove(self) -> None:
        """Remove the group, if nothing is in it; one that is not there is fine."""
        until = time.monotonic() + _LINGER_S
        for folder in self.folders():
            while folder.is_dir() and time.monotonic() < until:  # a process that just ended may linger in it
                with contextlib.suppress(OSError):
                    folder.rmdir()
                    break
                time.sleep(0.005)

    def _set(self, controller: str, unified: Mapping[str, object], version_1: Mapping[str, object]) -> None:
        if self._mounts.offers(controller):
            assert self._mounts.unified is not None
            self._hand_down(controller)
            folder, values = self._made(self._mounts.unified), unified
        else:
            folder, values = self._made(self._version_1(controller)), version_1
        for file, value in values.items():
            _write(folder / file, value)

    def _hand_down(self, controller: str) -> None:
        """Let the folders above the group give it a controller (version 2 asks for that)."""
        assert self._mounts.unified is not None
        folder = self._mounts.unified
        for part in self.name.split("/"):
            control = folder / "cgroup.subtree_control"
            if controller not in control.read_text().split():
                _write(control, f"+{controller}")
            folder /= part
            _make(folder)

    def _version_1(self, controller: str) -> Path:
        found = self._mounts.controllers.get(controller)
        if found is None:
            raise ServeError(
                f"this kernel has no {controller} controller mounted",
                where=self.name,
                fix="push without that limit",
            )
        return found

    def _with_all(self, root: Path, also: int) -> Path:
        """Return the folder below one mount, with every process that the group has anywhere, and one more, in it."""
        folder = self._made(root)
        for pid in self.processes() | ({also} if also else set()):
            with contextlib.suppress(ProcessLookupError):
                _write(folder / "cgroup.procs", pid)
        return folder

    def _made(self, root: Path) -> Path:
        _make(root / self.name)
        return root / self.name


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(folder, error) from error


def _write(path: Path, value: object) -> None:
    try:
        path.write_text(f"{value}\n")
    except OSError as error:
        raise _refused(path, error) from error


def _wait(path: Path, word: str, timeout_s: float) -> None:
    until = time.monotonic() + timeout_s
    while word not in path.read_text():
        if time.monotonic() > until:
            raise ServeError(f"the tasks do not become {word!r}", where=str(path))
        time.sleep(0.001)


def _refused(path: Path, error: OSError) -> ServeError:
    return ServeError(
        f"the kernel does not take the limit: {error.strerror}",
        where=str(path),
        fix="run as root, have the folder delegated to you, or push without limits",
    )
