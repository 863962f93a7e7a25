"""What each line, and each stack, cost: the sums that every report is drawn from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .attribution import NO_PYTHON, is_own, line_of
from .model import Trace
from .rows import Frame

_S = 1e9


@dataclass
class LineCost:
    """What one line cost.

    Parameters
    ----------
    frame
        The line.
    cpu_s, samples
        CPU seconds, and the samples they are estimated from.
    offcpu_s
        Seconds its threads were blocked.
    faults
        Page faults, scaled up from the sampled ones.
    allocated, held
        Bytes allocated, and of those still held at the end.
    """

    frame: Frame
    cpu_s: float = 0.0
    samples: int = 0
    offcpu_s: float = 0.0
    faults: float = 0.0
    allocated: int = 0
    held: int = 0


def costs(trace: Trace) -> list[LineCost]:
    """Return the cost of each line, most CPU time first."""
    lines: dict[tuple[str, int], LineCost] = {}
    charged: dict[int, LineCost] = {}

    def of(stack: int) -> LineCost:
        if stack not in charged:
            frame = line_of(trace.frames_of(stack))
            charged[stack] = lines.setdefault((frame.file, frame.line), LineCost(frame))
        return charged[stack]

    for sample in trace.samples:
        cost = of(sample.stack)
        if sample.kind == "cpu":
            cost.cpu_s += sample.value
            cost.samples += 1
        elif sample.kind == "fault":
            cost.faults += sample.value
    for wait in trace.offcpu or ():
        of(wait.stack).offcpu_s += wait.duration_ns / _S
    for site in trace.allocations or ():
        cost = of(site.stack)
        cost.allocated += site.total_bytes
        cost.held += site.bytes
    return sorted(lines.values(), key=_order)


def _order(cost: LineCost) -> tuple[Any, ...]:
    # What a program waits for says less than what it runs, and idle threads of libraries nothing at all.
    own = is_own(cost.frame)
    worth = (-cost.cpu_s, not own, -cost.held, -cost.offcpu_s, -cost.faults, -cost.allocated)
    return (*worth, cost.frame.file, cost.frame.line)


Rows = Callable[[Trace], list[tuple[int, int, float]]]


@dataclass(frozen=True)
class Weight:
    """One way to weigh a stack: what it is called, its unit, and (process, stack, weight) of every row."""

    name: str
    title: str
    unit: str
    rows: Rows


WEIGHTS = {
    weight.name: weight
    for weight in (
        Weight(
            "cpu",
            "CPU time",
            "s",
            lambda trace: [(s.pid, s.stack, s.value) for s in trace.samples if s.kind == "cpu"],
        ),
        Weight(
            "offcpu",
            "time blocked",
            "s",
            lambda trace: [(w.pid, w.stack, w.duration_ns / _S) for w in trace.offcpu or ()],
        ),
        Weight(
            "faults",
            "page faults",
            "",
            lambda trace: [(s.pid, s.stack, s.value) for s in trace.samples if s.kind == "fault"],
        ),
        Weight(
            "allocated",
            "bytes allocated",
            "B",
            lambda trace: [(a.pid, a.stack, float(a.total_bytes)) for a in trace.allocations or ()],
        ),
        Weight(
            "held",
            "bytes still held",
            "B",
            lambda trace: [(a.pid, a.stack, float(a.bytes)) for a in trace.allocations or ()],
        ),
    )
}
"""The weights a flame graph, collapsed stacks and pprof can be made by."""


Stacks = list[tuple[tuple[Frame, ...], float]]


def weighted_stacks(trace: Trace, weight: str = "cpu") -> Stacks:
    """Return readable stacks and what they weigh; a child process comes as an outermost frame.

    Stacks that read alike may come more than once.

    Parameters
    ----------
    trace
        The trace.
    weight
        One of :data:`WEIGHTS`.
    """
    sums: dict[tuple[int, int], float] = defaultdict(float)
    for pid, stack, value in WEIGHTS[weight].rows(trace):
        sums[pid, stack] += value
    return [(named_stack(trace, *key), value) for key, value in sums.items() if value > 0]


def named_stack(trace: Trace, pid: int, stack: int) -> tuple[Frame, ...]:
    """Return a stack as it reads, under its process where that is not the traced one."""
    frames = trace.readable(stack) or (NO_PYTHON,)
    if pid == trace.meta.pid:
        return frames
    return (Frame("native", f"process {pid}", trace.meta.processes.get(str(pid), "?")), *frames)
