"""Which line a stack is charged to, and how a stack reads best."""

from __future__ import annotations

import sysconfig
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from .model import Trace
from .rows import Frame

NO_PYTHON = Frame("native", "(no Python frames)", "")
_LIBRARY_PARTS = ("site-packages", "dist-packages", "<frozen")
_STANDARD = sysconfig.get_path("stdlib")


@dataclass
class LineCost:
    """What one line cost."""

    frame: Frame
    cpu_s: float = 0.0
    samples: int = 0
    faults: float = 0.0


def line_of(stack: Iterable[Frame]) -> Frame:
    """Return the line a stack is charged to.

    The innermost in a notebook cell, else the innermost of the user's own files, else the innermost Python
    line, else :data:`NO_PYTHON`.

    Examples
    --------
    >>> cell, library = Frame("python", "f", "In[3]", 2, 3), Frame("python", "g", "/x/site-packages/g.py", 9)
    >>> line_of([cell, library]).file, line_of([library]).file
    ('In[3]', '/x/site-packages/g.py')
    """
    python = [frame for frame in stack if frame.kind == "python"]
    for choose in (_in_cell, _is_own, bool):
        found = next((frame for frame in reversed(python) if choose(frame)), None)
        if found is not None:
            return found
    return NO_PYTHON


def costs(trace: Trace) -> list[LineCost]:
    """Return the cost of each line, most CPU time first."""
    lines: dict[tuple[str, int], LineCost] = {}
    charged = [line_of(trace.frames[index] for index in stack) for stack in trace.stacks]
    for sample in trace.samples:
        frame = charged[sample.stack]
        cost = lines.setdefault((frame.file, frame.line), LineCost(frame))
        if sample.kind == "cpu":
            cost.cpu_s += sample.value
            cost.samples += 1
        else:
            cost.faults += sample.value
    return sorted(
        lines.values(), key=lambda cost: (-cost.cpu_s, -cost.faults, cost.frame.file, cost.frame.line)
    )


def readable(stack: Iterable[Frame]) -> list[Frame]:
    """Return a stack, outermost first, without what runs a notebook cell (event loop, IPython)."""
    frames = list(stack)
    first = next((index for index, frame in enumerate(frames) if frame.cell), 0)
    return frames[first:]


def weighted_stacks(trace: Trace) -> dict[tuple[Frame, ...], float]:
    """Return CPU seconds by readable stack; a child process comes as an outermost frame."""
    weights: dict[tuple[Frame, ...], float] = defaultdict(float)
    read = [tuple(readable(trace.frames[index] for index in stack)) for stack in trace.stacks]
    for sample in trace.samples:
        if sample.kind != "cpu":
            continue
        name = trace.meta.processes.get(str(sample.pid), "?")
        child = () if sample.pid == trace.meta.pid else (Frame("native", f"process {sample.pid}", name),)
        weights[child + (read[sample.stack] or (NO_PYTHON,))] += sample.value
    return dict(weights)


def label(frame: Frame) -> str:
    """Return how a frame reads: ``In[3] line 2`` for cells, function and place for the rest.

    Examples
    --------
    >>> label(Frame("python", "<module>", "In[3]", 2, 3)), label(Frame("native", "sgemm", "libmkl.so"))
    ('In[3] line 2', 'sgemm [libmkl.so]')
    """
    if frame.cell:
        name = "" if frame.name == "<module>" else f" {frame.name}"
        return f"{frame.file} line {frame.line}{name}"
    if frame.kind == "native":
        return f"{frame.name} [{frame.file}]" if frame.file and frame.file != frame.name else frame.name
    return f"{frame.name} ({short(frame.file)}:{frame.line})"


def short(file: str) -> str:
    """Return the last two parts of a path."""
    return "/".join(file.rsplit("/", 2)[-2:])


def _in_cell(frame: Frame) -> bool:
    return frame.cell > 0


def _is_own(frame: Frame) -> bool:
    return not frame.file.startswith(_STANDARD) and not any(part in frame.file for part in _LIBRARY_PARTS)
