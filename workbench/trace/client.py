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
import select
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..bpf.sockets import dial
from ..errors import NoPrivilege, TraceError, from_json
from . import privileges
from .build import load_object
from .probes import FOLLOW
from .wire import CONTROL, MESSAGE_BYTES, STOP, Joined, Learned, Request, Rules

SERVICE_SOCKET = Path("/run/workbench/collector.sock")
SOCKET_VARIABLE = "MLOPS_COLLECTOR"
_START_SECONDS = 20.0
_END_SECONDS = 40.0

_lock = threading.Lock()
_private: dict[bool, _Private] = {}
"""By whether it may refuse connects: most sessions need no collector with that right."""


@dataclass(frozen=True)
class Answer:
    """What became of functions a client asked to probe.

    Parameters
    ----------
    probed
        Whether they are; else the process has ended or changed.
    everywhere
        Indexes of the files that are probed in every process that maps them.
    time_ns
        When it was done (CLOCK_MONOTONIC).
    """

    probed: bool
    everywhere: frozenset[int]
    time_ns: int

    @classmethod
    def parse(cls, body: dict[str, Any]) -> Answer:
        """Return the answer in a ``started`` or ``joined`` message of the collector.

        Examples
        --------
        >>> Answer.parse({"event": "joined", "everywhere": [0], "time_ns": 5})
        Answer(probed=True, everywhere=frozenset({0}), time_ns=5)
        """
        everywhere = body["everywhere"]
        return cls(everywhere is not None, frozenset(everywhere or ()), body["time_ns"])


class _Private:
    """A collector this process started."""

    def __init__(self, *, enforce: bool) -> None:
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
                    *(("--enforce",) if enforce else ()),
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
    """End the collectors this process started, if any."""
    with _lock:
        while _private:
            _private.popitem()[1].stop()


def private_pid() -> int | None:
    """Return the process id of the (tracing, not enforcing) collector this process started, or None."""
    found = _private.get(False)
    return found.process.pid if found is not None and found.usable() else None


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
        self._sock, private = _connect(enforce=request.enforce is not None)
        self._speaking, self._stopped = threading.Lock(), False
        self.answers: deque[Answer] = deque()
        try:
            self._sock.settimeout(_START_SECONDS)
            socket.send_fds(self._sock, [request.to_bytes()], list(files))
            started = self._sock.recv(MESSAGE_BYTES * 2)
            if not started and private is not None:
                raise private.failure()
            body = json.loads(started[1:] or b"{}")
            if body.get("event") != "started":
                raise _failure(body)
            self.answers.append(Answer.parse(body))
        except OSError as error:
            self._sock.close()
            raise (private.failure() if private else TraceError(f"the collector failed: {error}")) from error
        except BaseException:
            self._sock.close()
            raise
        self._sock.settimeout(None)

    def messages(self, tick: float | None = None) -> Iterator[bytes]:
        """Yield record and table messages until the end; sets :attr:`lost`.

        What the collector says of functions it was asked to probe, first of those in the request, is in
        :attr:`answers`, in the order asked.

        Parameters
        ----------
        tick
            Yield an empty message when none came for so many seconds, until the stop; None: wait.
        """
        while True:
            if tick is not None and not self._stopped and not select.select([self._sock], [], [], tick)[0]:
                yield b""
                continue
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
            if body.get("event") == "joined":
                self.answers.append(Answer.parse(body))
                continue
            if body.get("event") != "end":
                raise _failure(body)
            self.lost: dict[str, int] = body["lost"]
            return

    def learn(self, learned: Learned) -> None:
        """Tell of an interpreter found in a traced process; nothing happens if the collector is gone.

        Nor after the stop: a message nobody reads would reset the connection, and lose what is on its way.
        """
        self._say(learned.to_bytes())

    def join(self, joined: Joined, files: Sequence[int]) -> None:
        """Ask to probe functions of a process of the traced tree; as :meth:`learn`."""
        self._say(joined.to_bytes(), files)

    def rule(self, rules: Rules) -> None:
        """Send rules by which native frames are walked; as :meth:`learn`."""
        self._say(rules.to_bytes())

    def _say(self, message: bytes, files: Sequence[int] = ()) -> None:
        with self._speaking, contextlib.suppress(OSError):
            if not self._stopped:
                socket.send_fds(self._sock, [message], list(files))

    def stop(self) -> None:
        """Ask for the end; :meth:`messages` then yields the rest."""
        self._sock.settimeout(_END_SECONDS)
        with self._speaking, contextlib.suppress(OSError):
            self._stopped = True
            self._sock.send(STOP)

    def close(self) -> None:
        """Hang up; the collector frees all it had for us."""
        self._sock.close()


def _failure(body: dict[str, object]) -> TraceError:
    error = body.get("error")
    found = from_json(error) if isinstance(error, dict) else None
    return found if isinstance(found, TraceError) else TraceError(f"the collector refused: {found or body}")


def _connect(*, enforce: bool) -> tuple[socket.socket, _Private | None]:
    running = Path(os.environ.get(SOCKET_VARIABLE) or SERVICE_SOCKET)
    able = privileges.can_trace(enforce=enforce)
    if not (enforce and able):  # the service seldom may refuse connects; one of our own does
        try:
            return dial(str(running)), None
        except OSError as error:
            absent = error.strerror
    if not able:
        rights = "CAP_BPF and CAP_PERFMON" + (" and CAP_NET_ADMIN" if enforce else "")
        raise NoPrivilege(
            f"no collector at {running} ({absent}), and uid {os.geteuid()} lacks {rights}",
            where="collector",
            fix=f"as root: mlops collector start{' --enforce' if enforce else ''}",
        )
    with _lock:
        private = _private.get(enforce)
        if private is None or not private.usable():
            private = _private[enforce] = _Private(enforce=enforce)
            atexit.register(stop_private)
    try:
        return dial(private.address), private
    except OSError as error:
        raise private.failure() from error
