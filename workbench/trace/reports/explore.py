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
from collections.abc import Iterable, Sequence
from typing import Any

from ..attribution import label
from ..costs import WEIGHTS, named_stack
from ..lanes import Lane, Values, length_ns
from ..model import Trace
from ..rows import Frame
from ..tree import paired_tree
from .flame import kind_of
from .timeline import colours_of, ticks

BINS = 120
MAX_NODES = 4_000
MAX_ROWS = 6_000
_TEXT = 100  # characters of a source line
Rows = list[list[Any]]


def profile_data(trace: Trace, drawn: Sequence[Lane]) -> dict[str, Any]:
    """Return what the live view of one trace draws.

    Parameters
    ----------
    trace
        The trace.
    drawn
        Its lanes.
    """
    nodes = _Nodes()
    end_ns = length_ns(trace)
    weights = {}
    for name, weight in WEIGHTS.items():
        if name != "allocated" and (rows := _rows(trace, name, nodes, end_ns)):
            weights[name] = {"title": weight.title, "unit": weight.unit, "rows": rows}
    colours = colours_of(drawn)
    shown = [
        [lane.name, lane.unit, [[s.name, colours[s.name], _figures(s.values)] for s in lane.series]]
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
            below.sort(key=lambda child: child.value + child.before)
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
    """The tree of calls as numbers; equal frames are kept once.

    Beyond :data:`MAX_NODES` a stack ends at the deepest node there is: heavy stacks are added first.
    """

    def __init__(self) -> None:
        self._frames: dict[tuple[str, str, str], int] = {("all", "root", ""): 0}
        self._nodes: dict[tuple[int, int], int] = {(-1, 0): 0}
        self._keys: dict[int, tuple[Frame, tuple[str, str, str]]] = {}

    def child(self, parent: int, frame: Frame) -> int:
        """Return the node of a frame under another; that one itself when there is no room."""
        known = self._keys.get(id(frame))
        if known is None:  # the frame is kept with its key, so that its identity stays its own
            known = self._keys[id(frame)] = frame, (label(frame), kind_of(frame), frame.text[:_TEXT])
        full = len(self._nodes) >= MAX_NODES
        number = self._frames.get(known[1]) if full else self._frames.setdefault(known[1], len(self._frames))
        if full:
            return self._nodes.get((parent, -1 if number is None else number), parent)
        return self._nodes.setdefault((parent, number or 0), len(self._nodes))

    def leaf(self, stack: Iterable[Frame]) -> int:
        """Return the node of a whole stack, outermost first."""
        node = 0
        for frame in stack:
            below = self.child(node, frame)
            if below == node:
                break
            node = below
        return node

    def data(self) -> dict[str, Any]:
        """Return both tables."""
        return {"frames": [list(key) for key in self._frames], "nodes": [list(key) for key in self._nodes]}


def _rows(trace: Trace, weight: str, nodes: _Nodes, end_ns: int) -> Rows:
    """Return [node, bin, value]; where those are too many, the small ones of a node are one without a time."""
    sums: dict[tuple[int, int], float] = defaultdict(float)
    for pid, stack, value in WEIGHTS[weight].rows(trace):
        sums[pid, stack] += value
    heavy = sorted(sums, key=sums.__getitem__, reverse=True)
    leaves = {key: nodes.leaf(named_stack(trace, *key)) for key in heavy}
    cells: dict[tuple[int, int], float] = defaultdict(float)
    for pid, stack, at, value in _timed(trace, weight, end_ns):
        cells[leaves[pid, stack], at] += value
    kept = heapq.nlargest(MAX_ROWS, cells, key=cells.__getitem__)
    rows = {cell: cells.pop(cell) for cell in kept}
    for (node, _), value in cells.items():
        rows[node, -1] = rows.get((node, -1), 0.0) + value
    return [[node, at, _short(value)] for (node, at), value in sorted(rows.items()) if value > 0]


def _figures(values: Values) -> list[float]:
    return [float(f"{value:.4g}") for value in values.tolist()]


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


def _short(value: float) -> float:
    return float(f"{value:.9g}")
