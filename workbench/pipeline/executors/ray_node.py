"""A Ray node on this machine: started as a process group of its own, ended whole.

Ray's node waits 15 s for files in which its dashboard agent says which ports it has, and gives up. Without the
dashboard the agent says -1 in all of them, but loads for seconds of CPU before it does, which on a busy machine is
too late. The same is therefore written for it as soon as the node has a name.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from ...errors import RunError, missing_dependency
from .. import child

_AGENT_FILES = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port")
_STARTED = b"Ray runtime started"


def authenticated(folder: Path) -> dict[str, str]:
    """Return the environment of processes of one cluster: they share a token that only this user can read."""
    path = folder / "token"
    if not path.exists():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(path),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DISABLE_MEMORY_MONITOR": "1",
    }


class RayNode:
    """A node.

    Parameters
    ----------
    folder
        Of the cluster: token, logs, sockets; its path must be short.
    address
        ``HOST:PORT`` of the cluster's head; its host is this machine for the head itself.
    cpus
        Processors it offers.
    head
        Whether it is the head.
    ip
        Its own address, by default the head's.
    prefix
        What to start it with, such as ``ip netns exec NAME``.

    Raises
    ------
    MissingDependency
        If Ray is not installed.
    RunError
        If it does not come up; carries what it said.
    """

    def __init__(
        self,
        folder: Path,
        address: str,
        cpus: int,
        *,
        head: bool = False,
        ip: str = "",
        prefix: Sequence[str] = (),
        timeout_s: float = 120.0,
    ) -> None:
        if importlib.util.find_spec("ray") is None:
            raise missing_dependency("ray", "ray")
        host, _, port = address.rpartition(":")
        place = (
            [f"--port={port}", "--include-dashboard=false", "--head"] if head else [f"--address={address}"]
        )
        self.ip, self.address = ip or host, address
        self._log = folder / f"{self.ip}.log"
        command = [
            *prefix, sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *place,
            f"--node-ip-address={self.ip}", f"--num-cpus={cpus}",
            "--object-store-memory=100000000", f"--temp-dir={folder / self.ip}", "--disable-usage-stats",
            f"--runtime-env-agent-port={free_port()}",  # a node waits for no port that it is told
        ]  # fmt: skip
        with self._log.open("wb") as out:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**child.steady(), **authenticated(folder)},
                start_new_session=True,
            )
        try:
            self._wait(timeout_s)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End it at once with everything that runs on it, as a power cut would."""
        family = self._family()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()

    def _family(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self._process.pid).children(recursive=True)
        return []

    def _wait(self, timeout_s: float) -> None:
        until = time.monotonic() + timeout_s
        answered = False
        while _STARTED not in self._log.read_bytes():
            answered = answered or self._answer()
            if self._process.poll() is not None or time.monotonic() > until:
                raise RunError(
                    f"the Ray node {self.ip} did not come up",
                    where=self.address,
                    fix="try again; its log is in the error's fields",
                    log=self._log.read_text(errors="replace")[-4000:],
                )
            time.sleep(0.1 if answered else 0.4)

    def _answer(self) -> bool:
        """Write what the agent of a node without a dashboard would."""
        for process in self._family():
            with contextlib.suppress(psutil.Error):
                words = dict(word.lstrip("-").partition("=")[::2] for word in process.cmdline())
                if process.name() == "raylet" and "session_dir" in words:
                    for name in _AGENT_FILES:
                        _say(Path(words["session_dir"]) / f"{name}_{words['node_id']}", "-1")
                    return True
        return False


def free_port() -> int:
    """Return a port that nothing listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def main(folder: str, address: str, cpus: str) -> None:
    """Be a node for as long as standard input is open: whoever asked for it may die without a word."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt of the notebook is for whoever asked
    node = RayNode(Path(folder), address, int(cpus), head=True)
    try:
        print("ready", flush=True)
        sys.stdin.read()
    finally:
        node.kill()


def _say(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    os.replace(name, path)  # noqa: PTH105 - a reader sees nothing or all


if __name__ == "__main__":
    main(*sys.argv[1:])
