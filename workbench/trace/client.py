"""Reach a collector: one that runs on this machine, else one started for this process.

A private collector listens on an abstract socket that only the starter knows of by inheritance (nothing is
left in the file system), serves only this user, lives as long as this process, and is shared by all its
sessions.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import NoPrivilege, TraceError, from_json
from . import privileges
from .build import load_object
from .probes import FOLLOW
from .wire import CONTROL, MESSAGE_BYTES, STOP, Learned, Request

SERVICE_SOCKET = Path("/run/workbench/collector.sock")
SOCKET_VARIABLE = "MLOPS_COLLECTOR"
_DIAL_SECONDS = 5
_START_SECONDS = 20.0
_END_SECONDS = 40.0

_lock = threading.Lock()
_private: _Private | None = None


class _Private:
    """The collector this process started."""

    def __init__(self) -> None:
        load_object(FOLLOW.name)  # fail here, with the command that builds it, rather than in the child
        self.owner = os.getpid()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind("")  # the kernel picks an abstract name
            listener.listen(8)
            self.address = listener.getsockname()
            handle = listener.fileno()
            # A session of its own: Ctrl-C in the notebook must not reach it.
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "workbench.trace.collector"),
                    *("--listen-fd", str(handle), "--owner", str(self.owner)),
                ],
                pass_fds=[handle],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )

    def usable(self) -> bool:
        return self.owner == os.getpid() and self.process.poll() is None

    def failure(self) -> TraceError:
        """Return why it ended."""
        said = b""
        with contextlib.suppress(subprocess.TimeoutExpired):
            said = self.process.communicate(timeout=5)[1]
        with contextlib.suppress(ValueError):
            error = from_json(json.loads(said.splitlines()[-1] if said else b""))
            if isinstance(error, TraceError):
                return error
        return TraceError(f"the collector ended: {said.decode(errors='replace')[-500:]}", where="collector")

    def stop(self) -> None:
        if self.owner != os.getpid():
            return
        self.process.terminate()
        self.process.communicate(timeout=10)


def stop_private() -> None:
    """End the collector this process started, if any."""
    global _private
    with _lock:
        if _private is not None:
            _private.stop()
            _private = None


def private_pid() -> int | None:
    """Return the process id of the collector this process started, or None."""
    return _private.process.pid if _private is not None and _private.usable() else None


class Collector:
    """A connection that traces.

    Parameters
    ----------
    request
        What to trace.
    files
        Open files the request's sites lie in.

    Raises
    ------
    NoPrivilege
        If no collector can be reached or started.
    """

    def __init__(self, request: Request, files: Sequence[int] = ()) -> None:
        self._sock, private = _connect()
        try:
            self._sock.settimeout(_START_SECONDS)
            socket.send_fds(self._sock, [request.to_bytes()], list(files))
            started = self._sock.recv(MESSAGE_BYTES * 2)
            if not started and private is not None:
                raise private.failure()
            body = json.loads(started[1:] or b"{}")
            if body.get("event") != "started":
                raise _failure(body)
        except OSError as error:
            self._sock.close()
            raise (private.failure() if private else TraceError(f"the collector failed: {error}")) from error
        except BaseException:
            self._sock.close()
            raise
        self._sock.settimeout(None)

    def messages(self) -> Iterator[bytes]:
        """Yield record and table messages until the end; sets :attr:`lost`."""
        while True:
            try:
                message = self._sock.recv(MESSAGE_BYTES * 2)
            except OSError as error:
                raise TraceError(f"the collector failed: {error}", where="collector") from error
            if not message:
                raise TraceError("the collector ended during the trace", where="collector")
            if message[:1] != CONTROL:
                yield message
                continue
            body = json.loads(message[1:])
            if body.get("event") != "end":
                raise _failure(body)
            self.lost: dict[str, int] = body["lost"]
            return

    def learn(self, learned: Learned) -> None:
        """Tell of an interpreter found in a traced process; nothing happens if the collector is gone."""
        with contextlib.suppress(OSError):
            self._sock.send(learned.to_bytes())

    def stop(self) -> None:
        """Ask for the end; :meth:`messages` then yields the rest."""
        self._sock.settimeout(_END_SECONDS)
        with contextlib.suppress(OSError):
            self._sock.send(STOP)

    def close(self) -> None:
        """Hang up; the collector frees all it had for us."""
        self._sock.close()


def _failure(body: dict[str, object]) -> TraceError:
    error = body.get("error")
    found = from_json(error) if isinstance(error, dict) else None
    return found if isinstance(found, TraceError) else TraceError(f"the collector refused: {found or body}")


def _connect() -> tuple[socket.socket, _Private | None]:
    global _private
    running = Path(os.environ.get(SOCKET_VARIABLE) or SERVICE_SOCKET)
    try:
        return _dial(str(running)), None
    except OSError as error:
        absent = error.strerror
    if not privileges.can_trace():
        raise NoPrivilege(
            f"no collector at {running} ({absent}), and uid {os.geteuid()} lacks CAP_BPF and CAP_PERFMON",
            where="collector",
            fix=f"as root: python -m workbench.trace.collector --socket {running}",
        )
    with _lock:
        if _private is None or not _private.usable():
            _private = _Private()
            atexit.register(stop_private)
        private = _private
    try:
        return _dial(private.address), private
    except OSError as error:
        raise private.failure() from error


def _dial(address: str | bytes) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # A time limit of Python's own would turn a full backlog into an error at once; the kernel's waits.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _DIAL_SECONDS, 0))
    try:
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock
