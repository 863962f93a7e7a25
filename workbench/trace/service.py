"""The collector of a machine: a systemd unit where systemd runs, else a plain background process.

One collector serves every user of the machine, each for his own processes. It is started as root, becomes
``nobody`` with two capabilities before it hears anybody, and outlives who started it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ..atomic import write_bytes
from ..errors import NoPrivilege, TraceError, from_json
from .client import SERVICE_SOCKET, dial
from .identity import peer
from .privileges import can_trace

UNIT = Path("/etc/systemd/system/workbench-collector.service")
_SYSTEMD = Path("/run/systemd/system")
_START_SECONDS = 20.0
_MODULE = "workbench.trace.collector"


@dataclass(frozen=True)
class CollectorStatus:
    """What runs.

    Parameters
    ----------
    socket
        Where it listens.
    pid
        Its process; 0: none answers.
    user
        Its user id; -1 when none answers.
    capabilities
        Names of its effective capabilities.
    rss_bytes
        Resident memory.
    unit
        Whether systemd starts it.
    """

    socket: str
    pid: int = 0
    user: int = -1
    capabilities: tuple[str, ...] = ()
    rss_bytes: int = 0
    unit: bool = False


def install(path: Path = SERVICE_SOCKET, *, enforce: bool = False) -> CollectorStatus:
    """Start the collector now and, where systemd runs, at every boot.

    Raises
    ------
    NoPrivilege
        If we are not root, or its files could be changed by somebody who is not.
    TraceError
        If it does not start.
    """
    _need_rights()
    if not _SYSTEMD.is_dir():
        return start(path, enforce=enforce)
    _refuse_files_of_others()
    write_bytes(UNIT, unit_text(path, enforce=enforce).encode())
    _systemctl("daemon-reload")
    _systemctl("enable", "--now", UNIT.name)
    return _wait(path, None)


def start(path: Path = SERVICE_SOCKET, *, enforce: bool = False) -> CollectorStatus:
    """Start the collector, until it is removed or the machine goes down; nothing if it runs.

    Raises
    ------
    NoPrivilege
        If we may not trace.
    TraceError
        If it does not start.
    """
    now = status(path)
    if now.pid:
        return now
    _need_rights()
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    process = subprocess.Popen(
        command(path, enforce=enforce),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    return _wait(path, process)


def status(path: Path = SERVICE_SOCKET) -> CollectorStatus:
    """Return what runs; who listens is what the kernel says, no file is believed."""
    unit = UNIT.exists()
    try:
        with dial(str(path)) as sock:
            pid = peer(sock)[0]
        fields = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
        )
    except OSError:
        return CollectorStatus(str(path), unit=unit)
    held = int(fields["CapEff"], 16)
    names = tuple(name for number, name in _NAMES.items() if held >> number & 1)
    rss = int(fields["VmRSS"].split()[0]) * 1024
    return CollectorStatus(str(path), pid, int(fields["Uid"].split()[1]), names, rss, unit)


def remove(path: Path = SERVICE_SOCKET) -> CollectorStatus:
    """Stop the collector and leave nothing behind; nothing if there is none.

    Raises
    ------
    NoPrivilege
        If it is not ours to stop.
    """
    now = status(path)
    if now.unit:
        _systemctl("disable", "--now", UNIT.name)
        UNIT.unlink(missing_ok=True)
        _systemctl("daemon-reload")
    elif now.pid:
        _stop(now.pid)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise NoPrivilege(
            f"the socket stays: {error.strerror}", where=str(path), fix="run as root"
        ) from error
    return status(path)


def command(path: Path, *, enforce: bool = False) -> list[str]:
    """Return the command line of a collector."""
    return [sys.executable, "-P", "-m", _MODULE, "--socket", str(path), *(("--enforce",) if enforce else ())]


def unit_text(path: Path, *, enforce: bool = False) -> str:
    """Return the systemd unit.

    It starts as root only to read its files and become nobody; the bounding set is what that takes.
    """
    kept = "CAP_BPF CAP_PERFMON" + (" CAP_NET_ADMIN" if enforce else "")
    quoted = " ".join(f'"{part}"' for part in command(path, enforce=enforce))
    return "\n".join(
        (
            "[Unit]",
            "Description=Workbench collector: traces processes for their own users",
            "",
            "[Service]",
            f"ExecStart={quoted}",
            "Restart=on-failure",
            f"RuntimeDirectory={path.parent.name}",
            f"CapabilityBoundingSet={kept} CAP_SETUID CAP_SETGID CAP_SETPCAP",
            "NoNewPrivileges=yes",
            "ProtectSystem=strict",
            "ProtectHome=read-only",
            "PrivateTmp=yes",
            "RestrictAddressFamilies=AF_UNIX",
            "RestrictNamespaces=yes",
            "LimitCORE=0",
            "MemoryMax=256M",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        )
    )


_NAMES = {38: "CAP_PERFMON", 39: "CAP_BPF", 12: "CAP_NET_ADMIN", 21: "CAP_SYS_ADMIN", 1: "CAP_DAC_OVERRIDE"}


def _need_rights() -> None:
    if not can_trace() or os.geteuid() != 0:
        raise NoPrivilege(
            f"uid {os.geteuid()} cannot start a collector for this machine",
            where="collector",
            fix="run it as root: sudo mlops collector start",
        )


def _refuse_files_of_others() -> None:
    """Raise if somebody but root can write the files a unit runs as root at every boot."""
    package = Path(__file__).resolve().parent
    for path in (Path(sys.executable).resolve(), package, *package.glob("*.py"), *package.parents):
        found = path.stat()
        writable = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX
        if found.st_uid != 0 or writable:
            raise NoPrivilege(
                f"{path} can be changed by users other than root, and would run as root at every boot",
                where="collector",
                fix="install the workbench into an environment that root owns, or: mlops collector start",
            )


def _wait(path: Path, process: subprocess.Popen[bytes] | None) -> CollectorStatus:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        now = status(path)
        if now.pid and "CAP_SYS_ADMIN" not in now.capabilities:  # it listens, and has given up its rights
            if process is not None and process.stderr is not None:
                process.stderr.close()
                process.returncode = 0  # it stays: its parent may go
            return now
        if process is not None and process.poll() is not None:
            raise _failure(process)
        time.sleep(0.05)
    raise TraceError(f"no collector answers at {path}", where="collector", fix="mlops collector status")


def _failure(process: subprocess.Popen[bytes]) -> TraceError:
    said = process.communicate()[1].decode(errors="replace").strip()
    try:
        found = from_json(json.loads(said.splitlines()[-1]))
    except (ValueError, IndexError):
        found = None
    if isinstance(found, TraceError):
        return found
    return TraceError(f"the collector ended: {said[-500:]}", where="collector")


def _stop(pid: int) -> None:
    try:
        handle = os.pidfd_open(pid)
        if _MODULE.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.close(handle)
            raise TraceError(f"process {pid} at that socket is no collector", where="collector")
        signal.pidfd_send_signal(handle, signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise NoPrivilege(
            f"the collector (process {pid}) is not yours to stop", where="collector", fix="run as root"
        ) from error
    _until_gone(handle, pid)


def _until_gone(handle: int, pid: int) -> None:

    gone, _, _ = select.select([handle], [], [], 10.0)
    os.close(handle)
    if not gone:
        raise TraceError(
            f"the collector (process {pid}) does not end", where="collector", fix=f"kill -9 {pid}"
        )


def _systemctl(*arguments: str) -> None:
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise TraceError(
            f"systemctl {' '.join(arguments)}: {done.stderr.strip()[-400:]}",
            where="systemd",
            fix="run as root",
        )


__all__ = [
    "SERVICE_SOCKET",
    "CollectorStatus",
    "command",
    "install",
    "remove",
    "start",
    "status",
    "unit_text",
]
