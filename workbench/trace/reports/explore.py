"""A trace as data for a live view: what it draws, small enough to travel in a notebook.

::

    frames    [label, kind, source line]
    nodes     [parent node, frame]; node 0 is the root, parents come before children
    weights   name -> {title, unit, rows}; a row is [node, time bin, value]: time bin -1 where there is no time
    ticks     round points of the time axis, ns
    lanes     [name, unit, series]; a series is [name, colour, values]

Of two traces a row is [node, -1, value after, value before].
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from ..attribution import NO_PYTHON, label, readable
from ..costs import WEIGHTS
from ..lanes import lanes, length_ns
from ..model import Trace
from ..rows import Frame
from ..tree import paired_tree
from .flame import kind_of
from .timeline import colours_of, ticks

BINS = 120
MAX_STACKS = 2_000
MAX_ROWS = 8_000
_SMALLER = Frame("native", "(smaller stacks)", "")
Rows = list[list[Any]]


def profile_data(trace: Trace) -> dict[str, Any]:
    """Return what the live view of one trace draws."""
    nodes = _Nodes()
    end_ns = length_ns(trace)
    weights = {}
    for name, weight in WEIGHTS.items():
        if name != "allocated" and (rows := _rows(trace, name, nodes, end_ns)):
            weights[name] = {"title": weight.title, "unit": weight.unit, "rows": rows}
    drawn = lanes(trace, BINS)
    colours = colours_of(drawn)
    shown = [
        [
            lane.name,
            lane.unit,
            [[s.name, colours[s.name], [round(float(v), 4) for v in s.values]] for s in lane.series],
        ]
        for lane in drawn
    ]
    axis = {"end_ns": end_ns, "bins": BINS, "ticks": list(ticks(end_ns))}
    return {**axis, "lanes": shown, "weights": weights, **nodes.data()}


def difference_data(before: Trace, after: Trace) -> dict[str, Any]:
    """Return what the live view of two traces draws."""
    nodes, weights = _Nodes(), {}
    for name, weight in WEIGHTS.items():
        root = paired_tree(before, after, name)
        rows: Rows = []
        pending = [(0, root)]
        while pending and len(rows) < MAX_ROWS:
            number, node = pending.pop()
            below = list(node.children.values())
            own = [node.value - sum(c.value for c in below), node.before - sum(c.before for c in below)]
            if max(own) > 1e-9:
                rows.append([number, -1, _short(own[0]), _short(own[1])])
            pending += [(nodes.child(number, child.frame), child) for child in below if child.frame]
        if rows:
            weights[name] = {"title": weight.title, "unit": weight.unit, "rows": rows}
    return {
        "end_ns": 0,
        "bins": 0,
        "ticks": [],
        "lanes": [],
        "weights": weights,
        "compare": True,
        **nodes.data(),
    }


class _Nodes:
    """The tree of calls as numbers; equal frames are kept once."""

    def __init__(self) -> None:
        self._frames: dict[tuple[str, str, str], int] = {("all", "root", ""): 0}
        self._nodes: dict[tuple[int, int], int] = {(-1, 0): 0}

    def child(self, parent: int, frame: Frame) -> int:
        """Return the node of a frame under another."""
        key = (label(frame), kind_of(frame), frame.text)
        number = self._frames.setdefault(key, len(self._frames))
        return self._nodes.setdefault((parent, number), len(self._nodes))

    def leaf(self, stack: Iterable[Frame]) -> int:
        """Return the node of a whole stack, outermost first."""
        node = 0
        for frame in stack:
            node = self.child(node, frame)
        return node

    def data(self) -> dict[str, Any]:
        """Return both tables."""
        return {"frames": [list(key) for key in self._frames], "nodes": [list(key) for key in self._nodes]}


def _rows(trace: Trace, weight: str, nodes: _Nodes, end_ns: int) -> Rows:
    """Return [node, bin, value] of the heaviest stacks; the lighter ones are one node."""
    sums: dict[tuple[int, int], float] = defaultdict(float)
    for pid, stack, value in WEIGHTS[weight].rows(trace):
        sums[pid, stack] += value
    kept = {
        key: nodes.leaf(_named(trace, *key)) for key in heapq.nlargest(MAX_STACKS, sums, key=sums.__getitem__)
    }
    rest = nodes.leaf([_SMALLER]) if len(kept) < len(sums) else 0
    cells: dict[tuple[int, int], float] = defaultdict(float)
    for pid, stack, at, value in _timed(trace, weight, end_ns):
        cells[kept.get((pid, stack), rest), at] += value
    largest = heapq.nlargest(MAX_ROWS, cells, key=cells.__getitem__)
    return [[node, at, _short(cells[node, at])] for node, at in sorted(largest) if cells[node, at] > 0]


def _timed(trace: Trace, weight: str, end_ns: int) -> Iterable[tuple[int, int, int, float]]:
    """Yield (process, stack, time bin, value); a long wait is spread over the bins it spans."""
    scale = BINS / end_ns
    if weight in ("cpu", "faults"):
        kind = weight.removesuffix("s")
        for sample in trace.samples:
            if sample.kind == kind:
                yield sample.pid, sample.stack, min(int(sample.time_ns * scale), BINS - 1), sample.value
    elif weight == "offcpu":
        for wait in trace.offcpu or ():
            first = min(int(wait.time_ns * scale), BINS - 1)
            last = min(int((wait.time_ns + wait.duration_ns) * scale), BINS - 1)
            share = wait.duration_ns / 1e9 / (last - first + 1)
            yield from ((wait.pid, wait.stack, at, share) for at in range(first, last + 1))
    else:
        yield from ((pid, stack, -1, value) for pid, stack, value in WEIGHTS[weight].rows(trace))


def _named(trace: Trace, pid: int, stack: int) -> list[Frame]:
    name = trace.meta.processes.get(str(pid), "?")
    child = [] if pid == trace.meta.pid else [Frame("native", f"process {pid}", name)]
    return child + (readable(trace.frames_of(stack)) or [NO_PYTHON])


def _short(value: float) -> float:
    return float(f"{value:.9g}")
