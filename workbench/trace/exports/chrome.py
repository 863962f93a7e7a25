"""Chrome trace JSON, which Perfetto opens: CPU stacks, waits, operators, faults and audit on one axis.

The event format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU. A thread has
a track for each kind, since stacks, waits and operators overlap without being inside one another. Neighbouring
samples with the same outer frames become one slice, as long as they are.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from ..attribution import label, line_of, place
from ..model import Trace
from ..rows import Frame, Sample

SUFFIX = ".json"
_KINDS = ("stacks", "blocked", "run queue", "calls")
_US = 1e3

Event = dict[str, Any]


def dump(trace: Trace) -> bytes:
    """Return the JSON text."""
    tracks: dict[tuple[int, int, str], int] = {}
    makers = (_stacks, _waits, _delays, _calls)
    events = [event for make in makers for event in make(trace, tracks)] + list(_points(trace))
    meta = trace.meta
    body = {
        "traceEvents": [*_names(trace, tracks), *events],
        "displayTimeUnit": "ms",
        "otherData": {"tier": meta.tier, "probes": ", ".join(meta.probes), "hz": meta.hz, **meta.machine},
    }
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()


def _track(tracks: dict[tuple[int, int, str], int], pid: int, tid: int, kind: str) -> int:
    """Return the number of a thread's track of a kind; readers take it for a thread id."""
    return tracks.setdefault((pid, tid, kind), tid * len(_KINDS) + _KINDS.index(kind))


def _names(trace: Trace, tracks: dict[tuple[int, int, str], int]) -> Iterator[Event]:
    threads = {str(wait.tid): wait.thread for wait in trace.waits or ()} | dict(trace.meta.threads)
    for pid in sorted({pid for pid, _, _ in tracks}):
        name = trace.meta.processes.get(str(pid), "?")
        yield {"ph": "M", "pid": pid, "tid": 0, "name": "process_name", "args": {"name": name}}
    for (pid, tid, kind), number in tracks.items():
        name = f"{threads.get(str(tid), 'thread')} {tid} {kind}"
        yield {"ph": "M", "pid": pid, "tid": number, "name": "thread_name", "args": {"name": name}}
        yield {
            "ph": "M",
            "pid": pid,
            "tid": number,
            "name": "thread_sort_index",
            "args": {"sort_index": number},
        }


def _stacks(trace: Trace, tracks: dict[tuple[int, int, str], int]) -> Iterator[Event]:
    by_thread: dict[tuple[int, int], list[Sample]] = defaultdict(list)
    for sample in trace.samples:
        if sample.kind == "cpu":
            by_thread[sample.pid, sample.tid].append(sample)
    for (pid, tid), samples in by_thread.items():
        number = _track(tracks, pid, tid, "stacks")
        for frame, start, end in _slices(trace, samples):
            args = {"file": frame.file, "line": frame.line, "text": frame.text}
            yield _slice(label(frame), "cpu", pid, number, start, end - start, args)


def _slices(trace: Trace, samples: list[Sample]) -> Iterator[tuple[Frame, float, float]]:
    """Yield (frame, start, end) in ns: a frame is open as long as it stays at its depth, sample after sample."""
    period = 1e9 / trace.meta.hz
    stacks = {stack: trace.readable(stack) for stack in {sample.stack for sample in samples}}
    opened: list[tuple[Frame, float]] = []
    last = 0.0
    for sample in samples:
        frames = stacks[sample.stack]
        start = max(sample.time_ns - period, last)
        same = 0
        if start - last <= period:
            while same < min(len(opened), len(frames)) and opened[same][0] == frames[same]:
                same += 1
        end = start if same else last
        yield from ((frame, began, end) for frame, began in reversed(opened[same:]))
        opened[same:] = [(frame, start) for frame in frames[same:]]
        last = max(float(sample.time_ns), start)
    yield from ((frame, began, last) for frame, began in reversed(opened))


def _waits(trace: Trace, tracks: dict[tuple[int, int, str], int]) -> Iterator[Event]:
    for wait in trace.offcpu or ():
        line = line_of(trace.frames_of(wait.stack))
        args = {"line": place(line), "text": line.text, "woken by": wait.waker or "timer or device"}
        if wait.waker_stack >= 0:
            args["waker at"] = place(line_of(trace.frames_of(wait.waker_stack)))
        number = _track(tracks, wait.pid, wait.tid, "blocked")
        yield _slice("blocked", "offcpu", wait.pid, number, wait.time_ns, wait.duration_ns, args)


def _delays(trace: Trace, tracks: dict[tuple[int, int, str], int]) -> Iterator[Event]:
    for delay in trace.delays or ():
        number = _track(tracks, delay.pid, delay.tid, "run queue")
        yield _slice("waits for a CPU", "sched", delay.pid, number, delay.time_ns, delay.duration_ns, {})


def _calls(trace: Trace, tracks: dict[tuple[int, int, str], int]) -> Iterator[Event]:
    for call in trace.events or ():
        args: dict[str, Any] = {"bytes": call.bytes} if call.bytes else {}
        if call.stack >= 0:
            args["line"] = place(line_of(trace.frames_of(call.stack)))
        number = _track(tracks, call.pid, call.tid, "calls")
        yield _slice(call.name, call.family, call.pid, number, call.time_ns, call.duration_ns, args)


def _points(trace: Trace) -> Iterator[Event]:
    """Yield faults as a counter, audited events as instants of their process."""
    faults = 0.0
    for sample in trace.samples:
        if sample.kind == "fault":
            faults += sample.value
            yield {
                "ph": "C", "name": "page faults", "pid": sample.pid, "ts": sample.time_ns / _US,
                "args": {"faults": faults},
            }  # fmt: skip
    for event in trace.audit or ():
        args = {"target": event.target, "error": event.error, "verdict": event.verdict, "rule": event.rule}
        yield {
            "ph": "i", "s": "p", "cat": "audit", "name": f"{event.action} {event.target}", "pid": event.pid,
            "tid": event.tid * len(_KINDS), "ts": event.time_ns / _US, "args": args,
        }  # fmt: skip


def _slice(
    name: str, category: str, pid: int, tid: int, start: float, length: float, args: dict[str, Any]
) -> Event:
    place_ = {"ph": "X", "pid": pid, "tid": tid, "ts": start / _US, "dur": length / _US}
    return {"name": name, "cat": category, **place_, "args": args}
