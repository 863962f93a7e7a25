"""Stacks merged into a tree of calls, of one trace or of two side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .attribution import label
from .costs import Stacks, weighted_stacks
from .model import Trace
from .rows import Frame

MAX_STACKS = 2_000
"""What a picture can show; the lighter stacks of a line are one box under it."""

_LIGHTER = Frame("native", "(lighter stacks)", "")


@dataclass(slots=True)
class Node:
    """A frame under its callers.

    Parameters
    ----------
    frame
        None at the root.
    value
        Its weight, callees included; of two traces, that of the second.
    before
        The weight in the first of two traces; 0 in a tree of one.
    children
        Its callees by what makes two frames the same.
    """

    frame: Frame | None
    value: float = 0.0
    before: float = 0.0
    children: dict[str, Node] = field(default_factory=dict)

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Node]]:
        """Yield (depth, node) of this node and all below it, parents first."""
        pending = [(depth, self)]
        while pending:
            level, node = pending.pop()
            yield level, node
            pending += [(level + 1, child) for child in reversed(node.children.values())]


def tree(trace: Trace, weight: str = "cpu", limit: int = MAX_STACKS) -> Node:
    """Return the stacks merged by what frames read like; those lighter than the heaviest `limit` are cut short."""
    root = Node(None)
    keys: dict[int, str] = {}  # by identity: a trace's frames live as long as it does
    for stack, value in _bounded(weighted_stacks(trace, weight), limit):
        node = root
        node.value += value
        for frame in stack:
            key = keys.get(id(frame)) or keys.setdefault(id(frame), _own_key(frame))
            node = node.children.get(key) or node.children.setdefault(key, Node(frame))
            node.value += value
    return root


def _bounded(stacks: Stacks, limit: int) -> Stacks:
    if len(stacks) <= limit:
        return stacks
    ordered = sorted(stacks, key=lambda row: row[1], reverse=True)
    return ordered[:limit] + [((stack[0], _LIGHTER), value) for stack, value in ordered[limit:]]


def paired_tree(before: Trace, after: Trace, weight: str = "cpu", limit: int = MAX_STACKS) -> Node:
    """Return both traces' stacks in one tree.

    A line of a cell is the same line in both when its text is: the cell may have been run again, under a new
    number, or be another cell with the same call in it.
    """
    root = Node(None)
    for trace, is_after in ((before, False), (after, True)):
        for stack, value in _bounded(weighted_stacks(trace, weight), limit):
            node = _add(root, value, is_after)
            for frame in stack:
                key = same_key(frame)
                node = _add(node.children.setdefault(key, Node(frame)), value, is_after)
                if is_after:
                    node.frame = frame
    return root


def _add(node: Node, value: float, is_after: bool) -> Node:
    if is_after:
        node.value += value
    else:
        node.before += value
    return node


def same_key(frame: Frame) -> str:
    """Return what makes two frames of two traces the same one."""
    if frame.cell and frame.text:
        return f"cell\0{frame.name}\0{frame.text}"
    if frame.kind == "native" and frame.name.startswith("process "):
        return f"process\0{frame.file}"
    return _own_key(frame)


def _own_key(frame: Frame) -> str:
    """Lines of a cell are boxes of their own; elsewhere a function is one box, whatever its lines."""
    if frame.cell or frame.kind == "native":
        return label(frame)
    return f"{frame.name}\0{frame.file}"
