"""One client of the collector: who it is, what it asked, what it has still to read.

States: ``waiting`` for a request, ``tracing``, ``finishing`` (nothing is traced any more, last records and tables are
on their way), ``closed``. A client that reads slowly never makes the collector grow: its outbox is bounded, then
the ring buffer fills up, then the kernel counts what it drops.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections import deque
from collections.abc import Iterator

from ..bpf.libbpf import Library
from ..bpf.sockets import peer
from ..errors import InputError, NoPrivilege, TraceError, WorkbenchError
from .identity import belongs_to, is_descendant, peer_handle, pid_of
from .loader import KernelSession
from .probes import ENFORCE
from .sites import MAX_FILES, MAX_JOINS
from .wire import (
    CONTROL,
    MESSAGE_BYTES,
    RECORDS,
    REQUEST_BYTES,
    STOP,
    Joined,
    Rules,
    parse_news,
    parse_request,
)

_OUTBOX_MESSAGES = 32
_REQUEST_SECONDS = 5.0
_STALL_SECONDS = 30.0
_MAX_LEARNED = 4096


class Connection:
    """A connected client.

    Parameters
    ----------
    sock
        Its socket; becomes non-blocking.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.state = "waiting"
        self.pid, self.uid, _ = peer(sock)
        self.pidfd = peer_handle(sock, self.pid)
        self._session: KernelSession | None = None
        self._outbox: deque[bytes] = deque()
        self._batch = bytearray()
        self._progress = time.monotonic()
        self._tables: Iterator[bytes] | None = None
        self._ended = False
        self._learned = self._joined = 0
        sock.setblocking(False)

    @property
    def tracing(self) -> bool:
        """Whether it holds a session in the kernel."""
        return self._session is not None

    def read(self, library: Library, objects: dict[str, bytes], *, allowed: str = "") -> None:
        """Take one message: the request, the stop, or the end of the client.

        Parameters
        ----------
        allowed
            Why the client may not start a session; empty when it may.
        """
        try:
            message, files, _, _ = socket.recv_fds(self.sock, REQUEST_BYTES + 1, MAX_FILES + 1)
        except BlockingIOError:
            return
        except OSError:
            message, files = b"", []
        came = tuple(files)
        try:
            self._hear(message, files, library, objects, allowed)
        finally:
            for file in came:
                os.close(file)

    def _hear(
        self, message: bytes, files: list[int], library: Library, objects: dict[str, bytes], allowed: str
    ) -> None:
        if not message:
            self.close()
        elif self.state == "waiting":
            self._start(message, files, library, objects, allowed)
        elif self.state == "tracing" and message == STOP:
            self._finish()
        else:
            self._hear_news(message, files)

    def write(self) -> None:
        """Send what the client takes; gather more when it took everything."""
        try:
            self._send()
            while not self._outbox and self._gather():
                self._send()
        except (BrokenPipeError, ConnectionError):
            self.close()
            return
        if self.state == "finishing" and not self._outbox and self._session is None:
            self.close()

    def check_time(self) -> None:
        """Give up on a client that says or reads nothing for too long."""
        idle = time.monotonic() - self._progress
        stalled = bool(self._outbox) or self.state == "finishing"
        if (self.state == "waiting" and idle > _REQUEST_SECONDS) or (stalled and idle > _STALL_SECONDS):
            self.close()

    def close(self) -> None:
        """Free everything it had."""
        self.state = "closed"
        if self._session is not None:
            self._session.close()
            self._session = None
        self.sock.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    def _start(
        self, message: bytes, files: list[int], library: Library, objects: dict[str, bytes], allowed: str
    ) -> None:
        try:
            if allowed:
                raise NoPrivilege(allowed, where="collector")
            if len(message) > REQUEST_BYTES:
                raise InputError(f"a request has at most {REQUEST_BYTES:,} bytes", where="collector")
            request = parse_request(message)
            pid = self._target(request.pid, files)
            if request.enforce and ENFORCE.name not in objects:
                raise NoPrivilege(
                    "this collector does not refuse connects",
                    where="collector",
                    fix="start it with --enforce",
                )
            self._session = KernelSession(
                library, objects, request, pid, self.pid, self.uid, self._take, files
            )
        except WorkbenchError as error:
            self._refuse(error)
            return
        self.state = "tracing"
        self._answer("started", self._session.everywhere)

    def _target(self, wanted: int, files: list[int]) -> int:
        """Return whom to trace, as this process numbers it: the client (0), or whom its last file is a handle of."""
        if not wanted:
            return self.pid
        pid = pid_of(files.pop()) if files else 0
        if not pid or not (is_descendant(pid, self.pid) or belongs_to(pid, self.uid)):
            raise NoPrivilege(
                f"process {wanted} is not yours to trace",
                where=f"client {self.pid}, user {self.uid}",
                fix="trace a process of your own, or one you started",
            )
        return pid

    def _hear_news(self, message: bytes, files: list[int]) -> None:
        try:
            if self.state != "tracing" or self._session is None or len(message) > REQUEST_BYTES:
                raise InputError("unexpected message", where="collector")
            news = parse_news(message)
            if isinstance(news, Joined):
                self._join(self._session, news, files)
                return
            if isinstance(news, Rules):
                self._session.set_rules(news)
                return
            self._learned += 1
            if self._learned > _MAX_LEARNED:
                raise InputError("unexpected message", where="collector")
        except InputError as error:
            self._refuse(error)
            return
        self._session.set_python(news.pid, news.pack_python())

    def _join(self, session: KernelSession, joined: Joined, files: list[int]) -> None:
        """Probe functions of a process of the client's; not when it has ended or changed meanwhile."""
        self._joined += 1
        if self._joined > MAX_JOINS or not files:
            raise InputError("unexpected message", where="collector")
        everywhere = None
        with contextlib.suppress(TraceError):
            everywhere = session.attach_sites(joined.sites, self._target(-1, files), files)
        self._answer("joined", everywhere)

    def _answer(self, event: str, everywhere: list[int] | None) -> None:
        self._control(event=event, everywhere=everywhere, time_ns=time.monotonic_ns())

    def _refuse(self, error: WorkbenchError) -> None:
        self._control(event="error", error=error.to_json())
        if self._session is not None:
            self._session.close()
            self._session = None
        self.state = "finishing"

    def _finish(self) -> None:
        if self._session is not None:
            self._session.stop()
        self.state = "finishing"

    def _take(self, record: bytes) -> bool:
        """Ring buffer sink: gather records into messages; False (pause) when the client is behind."""
        if len(self._batch) + len(record) > MESSAGE_BYTES:
            self._flush()
        self._batch += record
        return len(self._outbox) < _OUTBOX_MESSAGES

    def _flush(self) -> None:
        if self._batch:
            self._outbox.append(RECORDS + bytes(self._batch))
            self._batch.clear()

    def _gather(self) -> bool:
        """Put more into the empty outbox; False when there is nothing."""
        if self._session is None:
            return False
        self._session.drain()
        self._flush()
        if not self._outbox and self.state == "finishing":
            self._gather_end(self._session)
        return bool(self._outbox)

    def _gather_end(self, session: KernelSession) -> None:
        """After the last record: the tables, one message at a time, then the end, then all is freed.

        In this order, because taking probes out of functions takes the kernel a quarter of a second that the
        client need not wait for.
        """
        if self._tables is None:
            self._tables = session.tables()
        table = next(self._tables, None)
        if table is not None:
            self._outbox.append(table)
        elif not self._ended:
            self._ended = True
            self._control(event="end", lost=session.lost())
        else:
            session.close()
            self._session = None

    def _send(self) -> None:
        while self._outbox:
            try:
                self.sock.send(self._outbox[0])
            except BlockingIOError:
                return
            self._outbox.popleft()
            self._progress = time.monotonic()
        self._progress = time.monotonic()

    @property
    def wants_write(self) -> bool:
        """Whether it has something to send that the socket did not take."""
        return bool(self._outbox) or self.state == "finishing"

    def _control(self, **body: object) -> None:
        self._outbox.append(CONTROL + json.dumps(body).encode())
