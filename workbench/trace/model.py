"""A finished trace: what ran, where, for how long. Every tier fills it; what a tier cannot see is None.

A trace is an artifact: :meth:`Trace.save` writes ``trace.jsonl.gz`` (one JSON array a line, the record's kind
first) and ``meta.json``; :meth:`Trace.load` reads them anywhere, without the machine, the process or the
source files it came from.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import codec
from ..atomic import write_bytes
from ..errors import InputError, TraceError
from .latency import Latency

RECORDS_FILE, META_FILE = "trace.jsonl.gz", "meta.json"


@dataclass(frozen=True)
class Frame:
    """One line of Python or one native function.

    Parameters
    ----------
    kind
        ``python`` or ``native``.
    name
        Qualified name of the function, demangled.
    file
        ``In[3]`` for a notebook cell, else the source file or library.
    line
        1-based line; 0 when unknown.
    cell
        Execution count of the cell; 0 when it is not one.
    text
        The source line.
    """

    kind: str
    name: str
    file: str
    line: int = 0
    cell: int = 0
    text: str = ""


@dataclass(frozen=True)
class Sample:
    """One stack.

    Parameters
    ----------
    kind
        ``cpu`` or ``fault``.
    time_ns
        Since the trace began.
    pid, tid
        Process and thread.
    value
        What it stands for: CPU seconds, or page faults.
    stack
        Index into :attr:`Trace.stacks`.
    """

    kind: str
    time_ns: int
    pid: int
    tid: int
    value: float
    stack: int


@dataclass(frozen=True)
class ThreadWaits:
    """Run-queue latency of one thread."""

    pid: int
    tid: int
    thread: str
    latency: Latency


@dataclass(frozen=True)
class SystemCall:
    """One kind of system call of one process."""

    pid: int
    name: str
    latency: Latency


@dataclass(frozen=True)
class FaultCount:
    """Exact number of page faults of one process."""

    pid: int
    count: int


@codec.register("trace_meta")
@dataclass(frozen=True)
class TraceMeta:
    """How a trace was made.

    Parameters
    ----------
    tier
        ``bpf``, ``perf`` or ``sampler``.
    reasons
        Why each better tier was not used, in order.
    probes, hz
        What was asked.
    wall_s
        Duration, seconds.
    pid
        The traced process.
    lost
        Events that were dropped, by reason; empty when none were.
    notes
        What the reader should know (unsupported interpreter, approximations).
    processes
        Names by process id (as text).
    machine
        Kernel, CPU count and Python version.
    """

    tier: str
    reasons: tuple[str, ...]
    probes: tuple[str, ...]
    hz: int
    wall_s: float
    pid: int
    lost: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    processes: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Trace:
    """Everything one session saw.

    Parameters
    ----------
    meta
        How it was made.
    frames
        Distinct frames.
    stacks
        Distinct stacks: frame indices, outermost first.
    samples
        In order of time.
    waits, calls, faults
        None when the tier cannot see them or they were not asked for.
    """

    meta: TraceMeta
    frames: tuple[Frame, ...] = ()
    stacks: tuple[tuple[int, ...], ...] = ()
    samples: tuple[Sample, ...] = ()
    waits: tuple[ThreadWaits, ...] | None = None
    calls: tuple[SystemCall, ...] | None = None
    faults: tuple[FaultCount, ...] | None = None

    def stack(self, sample: Sample) -> tuple[Frame, ...]:
        """Return a sample's frames, outermost first."""
        return tuple(self.frames[index] for index in self.stacks[sample.stack])

    def total(self, kind: str) -> float:
        """Return the sum over the samples of a kind: CPU seconds or sampled faults."""
        return sum(sample.value for sample in self.samples if sample.kind == kind)

    def save(self, folder: Path) -> None:
        """Write the trace into a folder.

        Raises
        ------
        StorageFull
            If the device is full.
        """
        folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(
            json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n" for line in _lines(self)
        )
        write_bytes(folder / RECORDS_FILE, gzip.compress(lines.encode(), mtime=0))
        write_bytes(folder / META_FILE, codec.dumps(self.meta).encode())

    @classmethod
    def load(cls, folder: Path) -> Trace:
        """Read a saved trace.

        Raises
        ------
        TraceError
            If a file is missing, cut short or not a trace.
        """
        try:
            meta = codec.loads((folder / META_FILE).read_text())
            with gzip.open(folder / RECORDS_FILE, "rt") as file:
                parts = _collect(json.loads(line) for line in file)
        except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, InputError) as error:
            raise TraceError(f"this is not a readable trace: {error}", where=str(folder)) from error
        if not isinstance(meta, TraceMeta):
            raise TraceError("meta.json does not describe a trace", where=str(folder))
        return cls(meta, **parts)


_ROWS: dict[str, tuple[str, Any]] = {
    "frame": ("frames", Frame),
    "sample": ("samples", Sample),
    "wait": ("waits", ThreadWaits),
    "call": ("calls", SystemCall),
    "faults": ("faults", FaultCount),
}


def _lines(trace: Trace) -> Iterator[list[Any]]:
    """First which tables there are (an empty one differs from one the tier cannot fill), then their rows."""
    yield ["tables", *(name for name in ("waits", "calls", "faults") if getattr(trace, name) is not None)]
    for frame in trace.frames:
        yield ["frame", *dataclasses.astuple(frame)]
    for stack in trace.stacks:
        yield ["stack", *stack]
    for kind in ("sample", "wait", "call", "faults"):
        for row in getattr(trace, _ROWS[kind][0]) or ():
            yield [kind, *dataclasses.astuple(row)]


def _collect(lines: Iterator[list[Any]]) -> dict[str, Any]:
    parts: dict[str, Any] = {"frames": [], "stacks": [], "samples": []}
    for kind, *values in lines:
        if kind == "tables":
            parts.update({name: [] for name in values})
        elif kind == "stack":
            parts["stacks"].append(tuple(values))
        else:
            name, row = _ROWS[kind]
            if kind in ("wait", "call"):
                count, errors, total_ns, max_ns, slots = values[-1]
                values[-1] = Latency(count, errors, total_ns, max_ns, tuple(slots))
            parts[name].append(row(*values))
    _check_references(parts)
    return {name: tuple(rows) for name, rows in parts.items()}


def _check_references(parts: dict[str, Any]) -> None:
    frames, stacks = len(parts["frames"]), len(parts["stacks"])
    if any(not 0 <= index < frames for stack in parts["stacks"] for index in stack) or any(
        not 0 <= sample.stack < stacks for sample in parts["samples"]
    ):
        raise ValueError("a stack refers to a frame that is not there")
