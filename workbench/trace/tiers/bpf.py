"""The tier that sees everything: probes in the kernel, by way of a collector.

This process keeps no rights and loads no BPF. A reader thread (itself not traced) takes the collector's
records and looks at once at what may be gone soon; the rest is parsed and named at the end (:mod:`.intake`).
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Iterator

from ...errors import TraceError
from ..ahead import Ahead
from ..builder import TraceBuilder
from ..children import TICK_SECONDS, Children
from ..client import Collector
from ..enforcement import AddressRule, Enforcement
from ..functions import find_functions
from ..policy import Policy
from ..records import FLAG_TRUNCATED, Record
from ..symbols.interpreter import Interpreter, find_interpreter
from ..symbols.process import ResolvedRecord, Symbols
from ..unwinding import Unwinding
from ..wire import RECORDS, Learned, Request, parse_table
from .assembly import Assembly, Span
from .base import Wanted
from .intake import Intake
from .memory import heap_end

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
        self._own = wanted.pid == os.getpid()
        self._interpreter, self._note = find_interpreter(wanted.pid)
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
        self._heap_end = heap_end(self._wanted.pid)
        self._began = time.monotonic_ns()

    def stop(self) -> TraceBuilder:
        """End, gather what is left and name it."""
        if self._collector is None:
            raise TraceError("the trace was not started", where="bpf")
        ended = time.monotonic_ns()
        self._collector.stop()
        self._reader.join(_STOP_SECONDS)
        self._collector.close()
        if self._reader.is_alive() or self._failure is not None:
            raise self._failure or TraceError("the collector did not finish", where="collector")
        self._symbols.refresh()
        span = Span(self._began, ended, self._heap_end)
        assembly = Assembly(self._wanted, self._symbols, self._found.functions, span)
        records = list(self._intake.records())
        builder = assembly.build(records, self._tables)
        self._add_notes(builder, [*records, *self._symbols.stacks.values()])
        self._symbols.close()
        return builder

    def _read(self) -> None:
        """Reader thread: connect (the request names this thread as one not to trace), then take messages."""
        try:
            layout = self._interpreter.layout if self._interpreter else None
            self._symbols = Symbols(self._wanted.pid, layout, self._learn)
            self._collector = self._connect()
            self._ready.set()
            self._follow(self._collector)
        except Exception as error:  # noqa: BLE001 - reported by start or stop, on the caller's thread
            self._failure = error
            self._ready.set()

    def _follow(self, collector: Collector) -> None:
        """Take what comes; probe functions in what joins the trace, and learn to walk what its stacks show."""
        self._children = Children(self._wanted.probes, self._wanted.pid, self._found, collector.join)
        self._unwinding = Unwinding(self._wanted.pid, collector.rule)
        self._intake = Intake(self._symbols, self._hear)
        try:
            for message in collector.messages(TICK_SECONDS):
                self._children.hear(collector.answers)
                self._take(message)
                self._unwinding.look()
                self._children.look()
            self._children.hear(collector.answers)
        finally:
            self._children.close()
            self._unwinding.close()

    def _connect(self) -> Collector:
        self._ahead = Ahead(self._wanted.probes if self._own else ())
        with self._ahead:
            return self._ask()

    def _ask(self) -> Collector:
        policy = self._wanted.policy
        self._found = found = find_functions(self._wanted.probes, self._wanted.pid)
        handle: list[int] = []
        try:
            if not self._own:
                handle.append(_handle(self._wanted.pid))
            request = Request(
                self._wanted.probes,
                self._wanted.hz,
                pid=0 if self._own else self._wanted.pid,
                skip_tid=threading.get_native_id() if self._own else 0,
                python=self._interpreter.walk() if self._interpreter else (),
                sites=tuple(found.sites),
                watch=policy.watched() if policy else (),
                enforce=_enforcement(policy) if policy and self._wanted.enforce else None,
                heap_sample=self._wanted.heap_sample,
            )
            return Collector(request, [*found.files, *handle])
        except BaseException:
            found.close()
            raise
        finally:
            for file in handle:
                os.close(file)

    def _learn(self, pid: int, interpreter: Interpreter) -> None:
        if self._collector is not None:
            self._collector.learn(Learned(pid, interpreter.walk()))

    def _hear(self, record: Record) -> None:
        self._children.take(record)
        self._unwinding.take(record)

    def _take(self, message: bytes) -> None:
        if message[:1] == RECORDS:
            self._intake.take(message[1:])
        elif message:
            name, entries = parse_table(message[1:])
            self._tables.setdefault(name, []).extend(entries)

    def _add_notes(self, builder: TraceBuilder, resolved: list[ResolvedRecord]) -> None:
        builder.processes = self._symbols.names()
        if self._collector is not None:
            builder.lost = dict(self._collector.lost)
        builder.notes.extend(self._found.notes)
        builder.notes.extend(self._found.absent(self._wanted.probes, self._ahead.unused()))
        builder.notes.extend((*self._children.notes(), *self._unwinding.notes()))
        builder.notes.extend(self._allocation_notes())
        if self._note:
            builder.notes.append(self._note)
        cut = sum(bool(one.record.flags & FLAG_TRUNCATED) for one in resolved)
        if cut:
            builder.notes.append(
                f"{cut} stacks were deeper than 128 Python frames; their outer ends are missing"
            )

    def _allocation_notes(self) -> Iterator[str]:
        if not self._found.probed("alloc", self._ahead.unused()):
            return
        if self._wanted.heap_sample:
            yield f"alloc: torch's blocks below {self._wanted.heap_sample:,} bytes are sampled; sums are estimates"
        elif platform.machine() == "x86_64":
            yield (
                "Memory still held: of native callers, rows of c10 show those that keep frame pointers; "
                "--heap-sample 524288 shows them all"
            )


def _enforcement(policy: Policy) -> Enforcement | None:
    if policy.hosts is None:
        return None
    return Enforcement(tuple(AddressRule(*rule.packed()) for rule in policy.hosts), policy.signal)


def _handle(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        raise TraceError(
            f"process {pid} cannot be traced: {error.strerror}",
            where=f"pid {pid}",
            fix="is it still running?",
        ) from error
