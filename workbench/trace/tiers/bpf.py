"""The tier that sees everything: probes in the kernel, by way of a collector.

This process keeps no rights and loads no BPF. A reader thread (itself not traced) takes the collector's
records and names their Python frames at once; the rest is named at the end.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from ...errors import TraceError
from ..builder import TraceBuilder
from ..client import Collector
from ..layout import own_layout, own_walk
from ..rows import FaultCount, SystemCall, ThreadWaits
from ..symbols.process import ResolvedRecord, Symbols
from ..syscall_names import syscall_names
from ..wire import (
    FLAG_TRUNCATED,
    RECORD_CPU,
    RECORD_FAULT,
    RECORDS,
    Request,
    parse_latency,
    parse_records,
    parse_table,
)
from .base import Wanted

_START_SECONDS = 30.0
_STOP_SECONDS = 60.0


class BpfTier:
    """Trace with the kernel's help.

    Parameters
    ----------
    wanted
        What to trace.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        own = wanted.pid == os.getpid()
        self._layout, self._note = (
            own_layout() if own else (None, "Python frames of another process are not read")
        )
        self._records: list[ResolvedRecord] = []
        self._tables: dict[str, list[tuple[bytes, bytes]]] = {}
        self._collector: Collector | None = None
        self._failure: Exception | None = None
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, name="workbench-trace", daemon=True)

    def start(self) -> None:
        """Begin.

        Raises
        ------
        NoPrivilege
            If no collector can be had.
        """
        self._reader.start()
        if not self._ready.wait(_START_SECONDS):
            raise TraceError("the collector did not answer", where="collector")
        if self._failure is not None:
            self._reader.join()
            raise self._failure
        self._began = time.monotonic_ns()

    def stop(self) -> TraceBuilder:
        """End, gather what is left and name it."""
        if self._collector is None:
            raise TraceError("the trace was not started", where="bpf")
        self._collector.stop()
        self._reader.join(_STOP_SECONDS)
        self._collector.close()
        if self._reader.is_alive() or self._failure is not None:
            raise self._failure or TraceError("the collector did not finish", where="collector")
        builder = TraceBuilder()
        self._symbols.refresh()
        for resolved in self._records:
            self._add_sample(builder, resolved)
        self._add_tables(builder)
        self._add_notes(builder)
        self._symbols.close()
        return builder

    def _read(self) -> None:
        """Reader thread: connect (the request names this thread as one not to trace), then take messages."""
        try:
            own = self._wanted.pid == os.getpid()
            self._symbols = Symbols(self._wanted.pid, self._layout)
            self._collector = Collector(
                Request(
                    self._wanted.probes,
                    self._wanted.hz,
                    pid=0 if own else self._wanted.pid,
                    skip_tid=threading.get_native_id() if own else 0,
                    python=own_walk() if self._layout else (),
                )
            )
            self._ready.set()
            for message in self._collector.messages():
                self._take(message)
        except Exception as error:  # noqa: BLE001 - reported by start or stop, on the caller's thread
            self._failure = error
            self._ready.set()

    def _take(self, message: bytes) -> None:
        if message[:1] == RECORDS:
            self._records.extend(self._symbols.resolve(record) for record in parse_records(message[1:]))
        else:
            name, entries = parse_table(message[1:])
            self._tables.setdefault(name, []).extend(entries)

    def _add_sample(self, builder: TraceBuilder, resolved: ResolvedRecord) -> None:
        record = resolved.record
        if record.kind not in (RECORD_CPU, RECORD_FAULT):
            return
        python = [builder.python_frame(code.name, code.file, code.line(at)) for code, at in resolved.python]
        native = self._symbols.native(record, has_python=bool(python))
        kind, value = (
            ("cpu", 1 / self._wanted.hz) if record.kind == RECORD_CPU else ("fault", float(record.weight))
        )
        frames = [*reversed(python), *reversed(native)]
        builder.sample(kind, max(record.time_ns - self._began, 0), record.pid, record.tid, value, frames)

    def _add_tables(self, builder: TraceBuilder) -> None:
        probes = self._wanted.probes
        names = syscall_names()
        threads = {thread.native_id: thread.name for thread in threading.enumerate()}
        if "sched" in probes:
            builder.waits = []
            for _, value in self._tables.get("waits", ()):
                latency, pid, tid = parse_latency(value)
                builder.waits.append(ThreadWaits(pid, tid, _thread_name(pid, tid, threads), latency))
        if "syscalls" in probes:
            builder.calls = []
            for key, value in self._tables.get("calls", ()):
                number = int.from_bytes(key[4:8], "little")
                latency, _, _ = parse_latency(value)
                pid = int.from_bytes(key[:4], "little")
                builder.calls.append(SystemCall(pid, names.get(number, f"syscall {number}"), latency))
        if "faults" in probes:
            rows = [parse_latency(value) for _, value in self._tables.get("faults", ())]
            builder.faults = [FaultCount(pid, latency.count) for latency, pid, _ in rows]

    def _add_notes(self, builder: TraceBuilder) -> None:
        builder.processes = self._symbols.names()
        if self._collector is not None:
            builder.lost = dict(self._collector.lost)
        if self._note:
            builder.notes.append(self._note)
        cut = sum(bool(resolved.record.flags & FLAG_TRUNCATED) for resolved in self._records)
        if cut:
            builder.notes.append(
                f"{cut} stacks were deeper than 128 Python frames; their outer ends are missing"
            )


def _thread_name(pid: int, tid: int, own: dict[int | None, str]) -> str:
    if tid in own and pid == os.getpid():
        return own[tid]
    try:
        return Path(f"/proc/{pid}/task/{tid}/comm").read_text().strip()
    except OSError:
        return "?"
