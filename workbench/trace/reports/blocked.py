"""Where threads were blocked, and who let them go on: the table that finds a lock."""

from __future__ import annotations

from collections import Counter, defaultdict

from ...render.table import Cell, Table
from ..attribution import is_own, label, line_of, place
from ..model import Trace
from ..rows import OffCpu
from .lines import clipped


def blocked_table(trace: Trace, limit: int = 10) -> Table | None:
    """Return blocked time by line; None when the tier cannot see it.

    Lines of the user's own code come first: threads of libraries that only wait for work are blocked all the
    time and say nothing. The last column is the line, or else the thread, that ended most of the time.
    """
    if trace.offcpu is None:
        return None
    groups: dict[tuple[str, int], list[OffCpu]] = defaultdict(list)
    lines = {stack: line_of(trace.frames_of(stack)) for stack in {wait.stack for wait in trace.offcpu}}
    for wait in trace.offcpu:
        line = lines[wait.stack]
        groups[line.file, line.line].append(wait)
    ordered = sorted(
        groups.values(),
        key=lambda waits: (not is_own(lines[waits[0].stack]), -_total(waits), waits[0].time_ns),
    )
    rows = [_row(trace, waits) for waits in ordered[:limit]]
    rest = f"{len(ordered) - limit} more lines; " if len(ordered) > limit else ""
    note = f"{rest}a thread that waits for work counts as blocked; several may be blocked at once"
    columns = ("line", "source", "blocked s", "times", "longest ms", "in", "woken by")
    return Table(columns, rows, "Time blocked, by line", note)


def _row(trace: Trace, waits: list[OffCpu]) -> list[Cell]:
    longest = max(waits, key=lambda wait: wait.duration_ns)
    line = line_of(trace.frames_of(longest.stack))
    return [
        place(line),
        clipped(line.text or line.name, 44),
        round(_total(waits) / 1e9, 4),
        len(waits),
        round(longest.duration_ns / 1e6, 3),
        clipped(_leaf(trace, longest), 32),
        clipped(_waker(trace, waits), 48),
    ]


def _waker(trace: Trace, waits: list[OffCpu]) -> str:
    # By number first: there are many waits and few wakers, and a name takes time to make.
    sums: dict[tuple[int, str, int], int] = defaultdict(int)
    for wait in waits:
        sums[wait.waker_tid, wait.waker, wait.waker_stack] += wait.duration_ns
    weights: Counter[str] = Counter()
    for waker, duration in sums.items():
        weights[_who(trace, *waker)] += duration
    (name, weight), *_ = weights.most_common(1)
    share = weight / max(_total(waits), 1)
    return name if share > 0.995 else f"{name} ({share:.0%})"


def _who(trace: Trace, tid: int, name: str, stack: int) -> str:
    if not tid and not name:
        return "timer or device"
    line = line_of(trace.frames_of(stack))
    thread = name or f"thread {tid}"
    return f"{thread} at {place(line)}" if line.kind == "python" else thread


def _total(waits: list[OffCpu]) -> int:
    return sum(wait.duration_ns for wait in waits)


def _leaf(trace: Trace, wait: OffCpu) -> str:
    frames = trace.frames_of(wait.stack)
    if not frames:
        return ""
    return label(frames[-1]) if frames[-1].name == "?" else frames[-1].name
