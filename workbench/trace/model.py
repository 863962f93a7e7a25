"""A finished trace: what ran, where, for how long. Every tier fills it; what a tier cannot see is None.

A trace is an artifact: :meth:`Trace.save` writes it into a folder, :meth:`Trace.load` reads it anywhere,
without the machine, the process or the source files it came from (:mod:`.storage` has the format).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .. import codec
from .attribution import readable
from .rows import (
    Allocation,
    AuditEvent,
    FaultCount,
    Frame,
    OffCpu,
    Operator,
    OperatorEvent,
    RunDelay,
    Sample,
    SystemCall,
    ThreadWaits,
)

if TYPE_CHECKING:
    import pandas as pd


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
    processes, threads
        Names by process and by thread id (as text).
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
    threads: Mapping[str, str] = field(default_factory=dict)


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
        None when the tier cannot see them or they were not asked for; so are all that follow.
    delays
        Threads that waited for a CPU, in order of time.
    offcpu
        Blocked threads and who woke them, in order of time.
    allocations
        By allocator, process and stack: what was allocated and what is still held.
    operators, cuda, usdt
        Probed functions: operators and kernels, CUDA driver and runtime calls, static probe points.
    events
        Single calls of all three on the time axis, in order of time; bounded, so fewer than they count.
    audit
        Opens, connects, sends and executed programs, with the policy's verdicts, in order of time.
    """

    meta: TraceMeta
    frames: tuple[Frame, ...] = ()
    stacks: tuple[tuple[int, ...], ...] = ()
    samples: tuple[Sample, ...] = ()
    waits: tuple[ThreadWaits, ...] | None = None
    calls: tuple[SystemCall, ...] | None = None
    faults: tuple[FaultCount, ...] | None = None
    delays: tuple[RunDelay, ...] | None = None
    offcpu: tuple[OffCpu, ...] | None = None
    allocations: tuple[Allocation, ...] | None = None
    operators: tuple[Operator, ...] | None = None
    cuda: tuple[Operator, ...] | None = None
    usdt: tuple[Operator, ...] | None = None
    events: tuple[OperatorEvent, ...] | None = None
    audit: tuple[AuditEvent, ...] | None = None

    def stack(self, sample: Sample | OffCpu | Allocation | AuditEvent | OperatorEvent) -> tuple[Frame, ...]:
        """Return a row's frames, outermost first; empty when no stack was taken."""
        return self.frames_of(sample.stack)

    def frames_of(self, stack: int) -> tuple[Frame, ...]:
        """Return the frames of a stack by its index, outermost first; empty for -1."""
        return tuple(self.frames[index] for index in self.stacks[stack]) if stack >= 0 else ()

    def readable(self, stack: int) -> tuple[Frame, ...]:
        """Return the frames of a stack without plumbing (:func:`.attribution.readable`); kept once found."""
        if stack not in self._readable:
            self._readable[stack] = tuple(readable(self.frames_of(stack)))
        return self._readable[stack]

    @cached_property
    def _readable(self) -> dict[int, tuple[Frame, ...]]:
        return {}

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
        from .storage import save

        save(self, folder)

    @classmethod
    def load(cls, folder: Path) -> Trace:
        """Read a saved trace.

        Raises
        ------
        TraceError
            If a file is missing, cut short or not a trace.
        """
        from .storage import load

        return load(folder)

    def to_pandas(self) -> dict[str, pd.DataFrame]:
        """Return the trace as tables of pandas; see :func:`.exports.pandas.frames` for their columns."""
        from .exports.pandas import frames

        return frames(self)
