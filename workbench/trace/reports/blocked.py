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
    weights: Counter[str] = Counter()
    for wait in waits:
        weights[_who(trace, wait)] += wait.duration_ns
    (name, weight), *_ = weights.most_common(1)
    share = weight / max(_total(waits), 1)
    return name if share > 0.995 else f"{name} ({share:.0%})"


def _who(trace: Trace, wait: OffCpu) -> str:
    if not wait.waker_tid and not wait.waker:
        return "timer or device"
    line = line_of(trace.frames_of(wait.waker_stack))
    thread = wait.waker or f"thread {wait.waker_tid}"
    return f"{thread} at {place(line)}" if line.kind == "python" else thread


def _total(waits: list[OffCpu]) -> int:
    return sum(wait.duration_ns for wait in waits)


def _leaf(trace: Trace, wait: OffCpu) -> str:
    frames = trace.frames_of(wait.stack)
    if not frames:
        return ""
    return label(frames[-1]) if frames[-1].name == "?" else frames[-1].name
