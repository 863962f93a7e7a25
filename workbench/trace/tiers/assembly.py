"""From what the collector sent to the rows of a trace; every name is known by now."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..builder import TraceBuilder
from ..records import (
    AUDIT_ACTIONS,
    RECORD_AUDIT,
    RECORD_CALL,
    RECORD_CPU,
    RECORD_DELAY,
    RECORD_FAULT,
    RECORD_MEMORY,
    RECORD_OFFCPU,
    AuditBody,
    CallBody,
    MemoryBody,
    OffCpuBody,
)
from ..rows import (
    NO_STACK,
    Allocation,
    AuditEvent,
    FaultCount,
    Frame,
    OffCpu,
    RunDelay,
    SystemCall,
    ThreadWaits,
)
from ..symbols.process import Named, ResolvedRecord, Symbols
from ..syscall_names import syscall_names
from ..wire import parse_latency
from . import calls
from .base import Wanted
from .memory import AddressSpace

_BLOCK = 1024  # in parts of which the kernel side counts the blocks of a sample
Tables = dict[str, list[tuple[bytes, bytes]]]


@dataclass(frozen=True)
class Span:
    """What a trace is about in time.

    Parameters
    ----------
    began, ended
        CLOCK_MONOTONIC ns; times count from the first. What happened outside is the tracer's own start and
        end.
    heap_end
        Where the heap ended at the beginning.
    """

    began: int
    ended: int
    heap_end: int


class Assembly:
    """Puts one session's records and tables together.

    Parameters
    ----------
    wanted
        What was asked.
    symbols
        Names.
    functions
        Family and name of each probed function, by number.
    span
        When.
    """

    def __init__(
        self, wanted: Wanted, symbols: Symbols, functions: Sequence[tuple[str, str]], span: Span
    ) -> None:
        self._wanted, self._symbols, self._span = wanted, symbols, span
        self._functions = functions
        self._spaces: dict[int, AddressSpace] = {}
        self._builder = TraceBuilder()
        self._stacks: dict[int, int] = {}
        self._python: dict[int, tuple[Named, list[Frame]]] = {}

    def build(self, records: Iterable[ResolvedRecord], tables: Tables) -> TraceBuilder:
        """Return the trace in the making."""
        probes, builder = self._wanted.probes, self._builder
        builder.offcpu = [] if "offcpu" in probes else None
        builder.delays = [] if "sched" in probes else None
        builder.audit = [] if "audit" in probes else None
        builder.events = [] if {"operators", "cuda", "usdt"} & {*probes} else None
        self._spaces[self._wanted.pid] = AddressSpace(self._span.heap_end)
        readers: dict[int, Callable[[ResolvedRecord], None]] = {
            RECORD_CPU: self._add_sample,
            RECORD_FAULT: self._add_sample,
            RECORD_OFFCPU: self._add_offcpu,
            RECORD_AUDIT: self._add_audit,
            RECORD_DELAY: self._add_delay,
            RECORD_CALL: self._add_call,
            RECORD_MEMORY: self._add_memory,
        }
        for resolved in records:
            kind = resolved.record.kind
            reader = readers.get(kind)
            # The histogram of waits has those at both ends too.
            inside = kind == RECORD_DELAY or self._span.began <= resolved.record.time_ns <= self._span.ended
            if reader is not None and inside:
                reader(resolved)
        self._add_tables(tables)
        self._add_functions(tables)
        return self._builder

    def _time(self, time_ns: int) -> int:
        return time_ns - self._span.began

    def _frames_index(self, resolved: ResolvedRecord) -> int:
        python = self._python_frames(resolved.python)
        native = self._symbols.native(resolved.record, has_python=bool(python))
        return self._builder.stack([*python, *reversed(native)])

    def _python_frames(self, named: Named) -> list[Frame]:
        """Return frames, outermost first; once for what many samples share."""
        known = self._python.get(id(named))
        if known is None:
            frames = [self._builder.python_frame(code.name, code.file, code.line(at)) for code, at in named]
            known = self._python[id(named)] = (named, frames[::-1])
        return known[1]

    def _stack(self, known: int) -> int:
        """Return the index of a stack by the id the kernel side gave it."""
        if known not in self._stacks:
            resolved = self._symbols.stacks.get(known)
            self._stacks[known] = NO_STACK if resolved is None else self._frames_index(resolved)
        return self._stacks[known]

    def _add_sample(self, resolved: ResolvedRecord) -> None:
        record = resolved.record
        kind, value = (
            ("cpu", 1 / self._wanted.hz) if record.kind == RECORD_CPU else ("fault", float(record.weight))
        )
        stack = self._frames_index(resolved)
        self._builder.sample(kind, self._time(record.time_ns), record.pid, record.tid, value, stack)

    def _add_offcpu(self, resolved: ResolvedRecord) -> None:
        record, body = resolved.record, resolved.record.body
        if self._builder.offcpu is None or not isinstance(body, OffCpuBody):
            return
        self._builder.offcpu.append(
            OffCpu(
                self._time(record.time_ns),
                record.pid,
                record.tid,
                body.duration,
                self._stack(body.stack),
                body.waker_pid,
                body.waker_tid,
                body.waker,
                self._stack(body.waker_stack) if body.waker_stack else NO_STACK,
            )
        )

    def _add_delay(self, resolved: ResolvedRecord) -> None:
        record = resolved.record
        if self._builder.delays is not None:
            began = min(max(record.time_ns, self._span.began), self._span.ended)
            delay = RunDelay(self._time(began), record.pid, record.tid, record.weight * 1000)
            self._builder.delays.append(delay)

    def _add_audit(self, resolved: ResolvedRecord) -> None:
        record, body = resolved.record, resolved.record.body
        if self._builder.audit is None or not isinstance(body, AuditBody):
            return
        event = AuditEvent(
            self._time(record.time_ns),
            record.pid,
            record.tid,
            body.parent,
            AUDIT_ACTIONS[record.weight],
            resolved.target,
            body.amount,
            body.error,
            self._stack(body.stack) if body.stack else NO_STACK,
        )
        policy = self._wanted.policy
        if policy is not None:
            verdict, rule = policy.judge(event, enforced=self._wanted.enforce)
            event = replace(event, verdict=verdict, rule=rule)
        self._builder.audit.append(event)

    def _add_call(self, resolved: ResolvedRecord) -> None:
        body = resolved.record.body
        stack = self._stack(body.stack) if isinstance(body, CallBody) and body.stack else NO_STACK
        event = calls.event(self._functions, resolved.record, self._span.began, stack)
        if self._builder.events is not None and event is not None:
            self._builder.events.append(event)

    def _add_memory(self, resolved: ResolvedRecord) -> None:
        record = resolved.record
        if isinstance(record.body, MemoryBody):
            self._spaces.setdefault(record.pid, AddressSpace()).apply(record.weight, record.body)

    def _allocations(self, tables: Tables) -> list[Allocation]:
        rows = []
        for key, value in tables.get("alloc.held", ()):
            known, pid, _ = struct.unpack("<QII", key)
            rows.append(Allocation("c10", pid, self._known_stack(known), *self._held(value)))
        for pid, space in self._spaces.items():
            for allocator, known, sums in space.sums():
                stack = self._known_stack(known)
                rows.append(
                    Allocation(
                        *(allocator, pid, stack, sums.bytes, sums.blocks, sums.total_bytes, sums.total_blocks)
                    )
                )
        return sorted(rows, key=lambda row: -row.bytes)

    def _held(self, value: bytes) -> tuple[int, int, int, int]:
        held, blocks, total, total_blocks = struct.unpack("<4Q", value)
        if self._wanted.heap_sample:
            blocks, total_blocks = round(blocks / _BLOCK), round(total_blocks / _BLOCK)
        return held, blocks, total, total_blocks

    def _known_stack(self, known: int) -> int:
        """Return the index of a stack; an allocation always has one, of no frames where none was kept."""
        stack = self._stack(known)
        return self._builder.empty_stack() if stack == NO_STACK else stack

    def _add_functions(self, tables: Tables) -> None:
        probes, builder, functions = self._wanted.probes, self._builder, self._functions
        if "operators" in probes:
            builder.operators = calls.operators(functions, tables.get("operators.functions", ()))
        if "cuda" in probes:
            builder.cuda = calls.operators(
                functions, tables.get("cuda.functions", ()), tables.get("cuda.moved", ())
            )
        if "usdt" in probes:
            builder.usdt = calls.operators(functions, tables.get("usdt.functions", ()))
        if "alloc" in probes:
            builder.allocations = self._allocations(tables)

    def _add_tables(self, tables: Tables) -> None:
        probes, builder = self._wanted.probes, self._builder
        if "sched" in probes:
            threads = {thread.native_id: thread.name for thread in threading.enumerate()}
            builder.waits = []
            for _, value in tables.get("sched.waits", ()):
                latency, pid, tid = parse_latency(value)
                builder.waits.append(ThreadWaits(pid, tid, _thread_name(pid, tid, threads), latency))
        if "syscalls" in probes:
            names = syscall_names()
            builder.calls = []
            for key, value in tables.get("syscalls.calls", ()):
                number = int.from_bytes(key[4:8], "little")
                latency, _, _ = parse_latency(value)
                pid = int.from_bytes(key[:4], "little")
                builder.calls.append(SystemCall(pid, names.get(number, f"syscall {number}"), latency))
        if "faults" in probes:
            rows = [parse_latency(value) for _, value in tables.get("faults.faults", ())]
            builder.faults = [FaultCount(pid, latency.count) for latency, pid, _ in rows]


def _thread_name(pid: int, tid: int, own: dict[int | None, str]) -> str:
    if tid in own and pid == os.getpid():
        return own[tid]
    try:
        return Path(f"/proc/{pid}/task/{tid}/comm").read_text().strip()
    except OSError:
        return "?"
