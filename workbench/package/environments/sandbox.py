"""A command in a sandbox of the kernel's: its own mounts, no network, bounded memory, CPU and tasks (runc).

The bundle is a root folder and a ``config.json`` of the OCI runtime spec. Its root is either an image's layers,
unpacked, or empty with this machine's folders bound into it, read-only, at the places they have. The process keeps
the process numbers of the machine, so that whoever started it can watch and end it; it has no capability and can
gain none.

Without root it is the same in a user namespace, where the user is number 0 and nobody else exists. Control groups are
not ours to make then, so the kernel's older limits hold instead: memory for each process (RLIMIT_DATA), whole CPUs.

https://github.com/opencontainers/runtime-spec: config.md, config-linux.md
"""

from __future__ import annotations

import json
import math
import os
import resource
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError, MissingDependency
from ..isolation import Isolation

_PERIOD_US = 100_000
STATE = "state"
BUNDLE = "config.json"
"""In a sandbox's folder: what its runtime knows, and what says how it is made."""

RUNTIMES = ("runc", "crun")
"""What can run a bundle, the first one found; the same commands to all of them."""

_SYSTEM = ("/usr", "/etc/ld.so.cache", "/etc/ssl/certs", "/etc/passwd", "/etc/group", "/etc/localtime")
_NETWORK = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs")
_MERGED = ("/bin", "/sbin", "/lib", "/lib64", "/lib32")
_MASKED = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware", "/proc/scsi")
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True)
class Place:
    """A folder or file of this machine inside the sandbox, at the same path."""

    path: Path
    writable: bool = False


def require() -> str:
    """Return the path of runc.

    Raises
    ------
    MissingDependency
        If it is not installed.
    InputError
        If this process lives in a chroot, or this user may make no user namespace.
    """
    found = program("runc")
    if found is None:
        other = ", or --sandbox buildah, which is here" if program("buildah") and program("crun") else ""
        raise MissingDependency(
            "runc is not installed", where="--isolate", fix=f"apt-get install runc{other}"
        )
    check_place()
    return found


def program(name: str) -> str | None:
    """Return where a program of the system's is, also for users who do not look into ``/usr/sbin``."""
    return shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")


def check_place() -> None:
    """Refuse a place where no sandbox can be made.

    Raises
    ------
    InputError
        If this process lives in a chroot, or this user may make no user namespace.
    """
    if chrooted():
        raise InputError(
            "no sandbox can be made inside a chroot: its root is no mount the kernel could pivot from",
            where="--isolate",
            fix="enter it with systemd-nspawn or as a container, or leave --isolate out",
        )
    if rootless() and not _namespaces():
        raise InputError(
            "this machine lets nobody but root make a user namespace",
            where="--isolate",
            fix="sysctl user.max_user_namespaces=10000 (and kernel.unprivileged_userns_clone=1), or run as root",
        )


def chrooted() -> bool:
    """Whether the root of this process is a plain folder: runc and user namespaces need a mount there."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return not any(line.split()[4] == "/" for line in lines)


def rootless() -> bool:
    """Whether this user has to make do with a user namespace."""
    return os.geteuid() != 0


def _namespaces() -> bool:
    """Whether an ordinary user may make user namespaces; the second setting exists on Debian's kernels only."""
    for name in ("user/max_user_namespaces", "kernel/unprivileged_userns_clone"):
        path = Path("/proc/sys") / name
        if path.exists() and path.read_text().strip() == "0":
            return False
    return True


class Sandbox:
    """One bundle, made ready; start it once.

    Parameters
    ----------
    folder
        A private folder for the bundle.
    command, environment, cwd
        What is run in it.
    isolation
        What it may use.
    places
        What of this machine it sees beside the system's folders, which are always there and read-only.
    root
        An unpacked image instead of the system's folders.
    runtime
        What is used in place of runc.
    shown
        What `root` is, in words.
    """

    def __init__(
        self,
        folder: Path,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        cwd: Path,
        isolation: Isolation,
        places: Iterable[Place] = (),
        root: Path | None = None,
        runtime: str = "",
        shown: str = "this machine's folders",
    ) -> None:
        self.made_by = f"{Path(runtime or 'runc').name}, {shown}"
        self._runtime, self._folder, self._isolation = runtime or require(), folder, isolation
        self._id = f"mlops-{os.getpid()}-{secrets.token_hex(6)}"
        base = root or folder / "root"
        base.mkdir(exist_ok=True)
        bound = [] if root else _system(base)
        if isolation.network:
            bound += _present(_NETWORK)
        seen = {place.path: place for place in (*bound, *places)}  # a place of the caller's own counts
        config = {
            "ociVersion": "1.0.2",
            "process": _process(command, environment, cwd, isolation),
            "root": {"path": str(base.resolve()), "readonly": True},
            "hostname": socket.gethostname(),  # lineage says which machine it was
            "mounts": [
                *_fixed(),
                *(_bind(seen[path]) for path in sorted(seen, key=lambda path: len(path.parts))),
            ],
            "linux": _linux(isolation, self._id),
        }
        (folder / BUNDLE).write_text(json.dumps(config))

    def start(self, **options: Any) -> subprocess.Popen[bytes]:
        """Start it; `options` as for :class:`subprocess.Popen`."""
        command = [*_runtime(self._runtime, self._folder), "run", "--bundle", str(self._folder), self._id]
        if not rootless():
            return subprocess.Popen(command, **options)
        before = os.sched_getaffinity(0)  # of this thread; what it starts inherits it
        os.sched_setaffinity(0, sorted(before)[: math.ceil(self._isolation.cpus)])
        try:
            return subprocess.Popen(command, **options)
        finally:
            os.sched_setaffinity(0, before)

    def remove(self) -> None:
        """End whatever still runs in it and forget it; nothing there is fine."""
        for name in containers(self._folder):
            ask = _runtime(self._runtime, self._folder)
            subprocess.run([*ask, "kill", "--all", name, "KILL"], capture_output=True)
            subprocess.run([*ask, "delete", "--force", name], capture_output=True)


def containers(folder: Path) -> list[str]:
    """Return what a runtime knows of in a sandbox's folder: its state is there and nowhere else."""
    state = folder / STATE
    return sorted(path.name for path in state.iterdir()) if state.is_dir() else []


def sweep(folder: Path) -> None:
    """Remove a sandbox that a dead process left, once what ran in it has ended; until then it is let be."""
    runtime = next(filter(None, map(program, RUNTIMES)), None)
    for name in containers(folder) if runtime else ():
        subprocess.run([*_runtime(str(runtime), folder), "delete", name], capture_output=True)
    if not containers(folder):
        shutil.rmtree(folder, ignore_errors=True)


def _runtime(program: str, folder: Path) -> list[str]:
    return [program, "--root", str(folder / STATE)]


def _process(
    command: Sequence[str], environment: Mapping[str, str], cwd: Path, isolation: Isolation
) -> dict[str, Any]:
    limits = {"RLIMIT_DATA": isolation.memory_bytes, "RLIMIT_NPROC": isolation.pids} if rootless() else {}
    files = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 1 << 20)  # more than we have is refused
    return {
        "terminal": False,
        "user": {"uid": 0, "gid": 0} if rootless() else {"uid": os.getuid(), "gid": os.getgid()},
        "args": list(command),
        "env": [f"{key}={value}" for key, value in environment.items()],
        "cwd": str(cwd),
        "capabilities": {kind: [] for kind in ("bounding", "effective", "inheritable", "permitted")},
        "rlimits": [
            {"type": kind, "hard": most, "soft": most}
            for kind, most in {"RLIMIT_NOFILE": files, **limits}.items()
        ],
        "noNewPrivileges": True,
    }


def _linux(isolation: Isolation, name: str) -> dict[str, Any]:
    quota = max(1000, round(isolation.cpus * _PERIOD_US))
    kinds = ["mount", "ipc", "uts", *([] if isolation.network else ["network"])]
    common: dict[str, Any] = {
        "namespaces": [{"type": kind} for kind in (*kinds, *(["user"] if rootless() else []))],
        "maskedPaths": list(_MASKED),
        "readonlyPaths": list(_READ_ONLY),
    }
    if rootless():
        for kind, number in (("uidMappings", os.geteuid()), ("gidMappings", os.getegid())):
            common[kind] = [{"containerID": 0, "hostID": number, "size": 1}]
        return common
    return {
        **common,
        "cgroupsPath": f"/mlops/{name}",
        "resources": {
            "devices": [{"allow": False, "access": "rwm"}],
            "memory": {"limit": isolation.memory_bytes},
            "cpu": {"quota": quota, "period": _PERIOD_US},
            "pids": {"limit": isolation.pids},
        },
    }


def _fixed() -> list[dict[str, Any]]:
    plain = ["nosuid", "nodev"]
    # Whoever has no process numbers of his own may mount no /proc, but show the one there is.
    shown = {
        "destination": "/proc",
        "type": "bind",
        "source": "/proc",
        "options": ["rbind", *plain, "noexec"],
    }
    return [
        shown if rootless() else {"destination": "/proc", "type": "proc", "source": "proc"},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "mode=755", "size=64k"],
        },
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": [*plain, "mode=1777"]},  # noqa: S108
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": [*plain, "mode=1777"]},  # noqa: S108
    ]


def _system(base: Path) -> list[Place]:
    """Return the system's folders to bind; where they are links into ``/usr``, make the same links."""
    for text in _MERGED:
        path = Path(text)
        if path.is_symlink():
            (base / text[1:]).symlink_to(path.readlink())
    found = [*_SYSTEM, *(text for text in _MERGED if not Path(text).is_symlink())]
    return _present(found)


def _present(found: Iterable[str]) -> list[Place]:
    return [Place(Path(text)) for text in found if Path(text).exists()]


def _bind(place: Place) -> dict[str, Any]:
    options = ["rbind", "nosuid", "nodev", "rw" if place.writable else "ro"]
    return {"destination": str(place.path), "type": "bind", "source": str(place.path), "options": options}
