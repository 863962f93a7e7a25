"""A privileged process that serves every user of a machine: a systemd unit where systemd runs, else a plain process.

It is started as root, becomes ``nobody`` with a few capabilities before it hears anybody, and outlives who started
it. Which process that is, a :class:`Service` says.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ..atomic import write_bytes
from ..errors import NoPrivilege, TraceError, WorkbenchError, from_json
from . import capabilities
from .boot_files import refuse_files_of_others
from .sockets import dial, peer

_SYSTEMD = Path("/run/systemd/system")
_UNITS = Path("/etc/systemd/system")
_START_SECONDS = 20.0


@dataclass(frozen=True)
class ServiceStatus:
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


@dataclass(frozen=True)
class Service:
    """One such process.

    Parameters
    ----------
    name
        As in ``mlops NAME start``.
    module
        What ``python -m`` runs; it understands ``--socket PATH``.
    purpose
        For systemd's list.
    kept
        Its capabilities, by number.
    starting
        Names of those it needs only until it has given them up.
    families
        Address families of its sockets.
    options
        More words of its command line.
    """

    name: str
    module: str
    purpose: str
    kept: tuple[int, ...]
    starting: tuple[str, ...] = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")
    families: str = "AF_UNIX"
    options: tuple[str, ...] = ()

    @property
    def unit(self) -> Path:
        """Return where systemd reads its unit."""
        return _UNITS / f"workbench-{self.name}.service"

    def install(self, path: Path) -> ServiceStatus:
        """Start it now and, where systemd runs, at every boot.

        Raises
        ------
        NoPrivilege
            If we are not root, or its files could be changed by somebody who is not.
        TraceError
            If it does not start.
        """
        self._need_rights()
        if not _SYSTEMD.is_dir():
            return self.start(path)
        refuse_files_of_others(Path(__file__).resolve().parents[1], self.name)
        write_bytes(self.unit, self.unit_text(path).encode())
        _systemctl("daemon-reload")
        _systemctl("enable", "--now", self.unit.name)
        return self._wait(path, None)

    def start(self, path: Path) -> ServiceStatus:
        """Start it, until it is removed or the machine goes down; nothing if it runs.

        Raises
        ------
        NoPrivilege
            If we may not.
        TraceError
            If it does not start.
        """
        now = self.status(path)
        if now.pid:
            return now
        self._need_rights()
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        process = subprocess.Popen(
            self.command(path),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        return self._wait(path, process)

    def status(self, path: Path) -> ServiceStatus:
        """Return what runs; who listens is what the kernel says, no file is believed."""
        unit = self.unit.exists()
        try:
            with dial(str(path)) as sock:
                pid = peer(sock)[0]
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            return ServiceStatus(str(path), unit=unit)
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        if "VmRSS" not in fields:  # it has no memory any more: it is ending
            return ServiceStatus(str(path), unit=unit)
        held = int(fields["CapEff"], 16)
        names = tuple(name for number, name in capabilities.NAMES.items() if held >> number & 1)
        rss = int(fields["VmRSS"].split()[0]) * 1024
        return ServiceStatus(str(path), pid, int(fields["Uid"].split()[1]), names, rss, unit)

    def remove(self, path: Path) -> ServiceStatus:
        """Stop it and leave nothing behind; nothing if there is none.

        Raises
        ------
        NoPrivilege
            If it is not ours to stop.
        """
        now = self.status(path)
        if now.unit:
            _systemctl("disable", "--now", self.unit.name)
            self.unit.unlink(missing_ok=True)
            _systemctl("daemon-reload")
        elif now.pid:
            self._stop(now.pid)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise NoPrivilege(
                f"the socket stays: {error.strerror}", where=str(path), fix="run as root"
            ) from error
        return self.status(path)

    def command(self, path: Path) -> list[str]:
        """Return its command line."""
        return [sys.executable, "-P", "-m", self.module, "--socket", str(path), *self.options]

    def unit_text(self, path: Path) -> str:
        """Return the systemd unit.

        It starts as root only to read its files and become nobody; the bounding set is what that takes.
        """
        kept = sorted(capabilities.NAMES[number] for number in self.kept)
        quoted = " ".join(f'"{part}"' for part in self.command(path))
        return "\n".join(
            (
                "[Unit]",
                f"Description=Workbench {self.name}: {self.purpose}",
                "",
                "[Service]",
                f"ExecStart={quoted}",
                "Restart=on-failure",
                f"RuntimeDirectory={path.parent.name}",
                "RuntimeDirectoryPreserve=yes",  # another service of ours may listen there
                f"CapabilityBoundingSet={' '.join((*kept, *self.starting))}",
                "NoNewPrivileges=yes",
                "ProtectSystem=strict",
                "ProtectHome=read-only",
                "PrivateTmp=yes",
                f"RestrictAddressFamilies={self.families}",
                "RestrictNamespaces=yes",
                "LimitCORE=0",
                "MemoryMax=256M",
                "",
                "[Install]",
                "WantedBy=multi-user.target",
                "",
            )
        )

    def _need_rights(self) -> None:
        if not capabilities.held(self.kept) or os.geteuid() != 0:
            raise NoPrivilege(
                f"uid {os.geteuid()} cannot start a {self.name} for this machine",
                where=self.name,
                fix=f"run it as root: sudo mlops {self.name} start",
            )

    def _wait(self, path: Path, process: subprocess.Popen[bytes] | None) -> ServiceStatus:
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            now = self.status(path)
            if now.pid and "CAP_SYS_ADMIN" not in now.capabilities:  # it listens, and has given up its rights
                if process is not None and process.stderr is not None:
                    process.stderr.close()
                    process.returncode = 0  # it stays: its parent may go
                return now
            if process is not None and process.poll() is not None:
                raise self._failure(process)
            time.sleep(0.05)
        raise TraceError(
            f"no {self.name} answers at {path}", where=self.name, fix=f"mlops {self.name} status"
        )

    def _failure(self, process: subprocess.Popen[bytes]) -> WorkbenchError:
        said = process.communicate()[1].decode(errors="replace").strip()
        try:
            return from_json(json.loads(said.splitlines()[-1]))
        except (ValueError, LookupError, AttributeError):  # not JSON, or not an error's
            return TraceError(f"the {self.name} ended: {said[-500:]}", where=self.name)

    def _stop(self, pid: int) -> None:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            self._end(pid, handle)
        except (ProcessLookupError, FileNotFoundError):  # it has ended meanwhile
            return
        except PermissionError as error:
            raise NoPrivilege(
                f"the {self.name} (process {pid}) is not yours to stop", where=self.name, fix="run as root"
            ) from error
        finally:
            os.close(handle)

    def _end(self, pid: int, handle: int) -> None:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if command and self.module.encode() not in command:  # none: it is ending
            raise TraceError(f"process {pid} at that socket is no {self.name}", where=self.name)
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        if not select.select([handle], [], [], 10.0)[0]:
            raise TraceError(
                f"the {self.name} (process {pid}) does not end", where=self.name, fix=f"kill -9 {pid}"
            )


def _systemctl(*arguments: str) -> None:
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise TraceError(
            f"systemctl {' '.join(arguments)}: {done.stderr.strip()[-400:]}",
            where="systemd",
            fix="run as root",
        )
