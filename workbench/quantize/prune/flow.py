"""Which dimensions of which values hold the same channels.

A layer that is pruned by a channel loses a row of its weight; every value computed from its output loses an entry
along some dimension, and every weight multiplied with such a value loses a column. :class:`Flow` finds these ties by
one walk through the graph (the dependency graph of Fang et al. 2023, arXiv 2301.12900): each dimension of a value is
tied to a group of channels or to none, operators pass the ties on (:mod:`.rules`), and where two ties meet their
groups become one. An operator that no rule knows freezes the groups it reads: nothing of them is removed. So a
program with strange operators is pruned less, never wrongly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from torch.fx import Node

from ..edit import Editor


@dataclass
class Group:
    """Channels that stay or go together.

    Parameters
    ----------
    width
        How many there are.
    cuts
        Weights that hold them: placeholder, axis, and how many consecutive entries along it belong to one channel.
    sizes
        Arguments of operators that must follow: called with the number of channels that stay.
    frozen
        Why none may be removed, empty when they may.
    """

    width: int
    cuts: list[tuple[Node, int, int]] = field(default_factory=list)
    sizes: list[Callable[[int], None]] = field(default_factory=list)
    frozen: str = ""


@dataclass(frozen=True)
class Tie:
    """A dimension's channels: index ``i`` belongs to channel ``i // repeat`` of the group with that number.

    `repeat` is None where the size is dynamic: the weight that reads the dimension says how large it really is.
    """

    group: int
    repeat: int | None = 1


Ties = list["Tie | None"]


class Flow:
    """The ties of one graph.

    Parameters
    ----------
    editor
        The program, batch norms folded where they may be.
    """

    def __init__(self, editor: Editor) -> None:
        from .rules import RULES

        self.editor = editor
        self._groups: list[Group] = []
        self._root: list[int] = []
        self._ties: dict[Node, Ties] = {}
        for node in editor.graph.nodes:
            rule = RULES.get(node.target) if node.op == "call_function" else None
            ties = rule(self, node) if rule else None
            if ties is None:
                self._stop(node)
            self._ties[node] = ties or []

    def groups(self) -> list[Group]:
        """Return the groups, each once, in the order in which their first layers come."""
        return [g for i, g in enumerate(self._groups) if self._find(i) == i]

    def ties(self, node: Any) -> Ties:
        """Return the ties of a value, one a dimension."""
        known = self._ties.get(node) or [] if isinstance(node, Node) else []
        rank = _rank(node)
        return [*known, *[None] * rank][:rank]

    def new(self, width: int) -> Tie:
        """Return a tie to a new group."""
        self._groups.append(Group(width))
        self._root.append(len(self._root))
        return Tie(len(self._root) - 1)

    def group(self, tie: Tie) -> Group:
        """Return a tie's group."""
        return self._groups[self._find(tie.group)]

    def cut(self, tie: Tie, parameter: Any, axis: int) -> bool:
        """Say that a parameter holds a tie's channels; False (and frozen) when it cannot be cut."""
        value = self.editor.tensor(parameter)
        width = self.group(tie).width
        repeat = 0 if value is None else value.shape[axis] // width if tie.repeat is None else tie.repeat
        fits = value is not None and repeat > 0 and value.shape[axis] == width * repeat
        if not fits or len(parameter.users) > 1:
            self.freeze(
                [tie], f"{parameter} is read by several operators" if fits else f"{parameter} is no weight"
            )
            return False
        self.group(tie).cuts.append((parameter, axis, repeat))
        return True

    def join(self, one: Tie | None, other: Tie | None) -> Tie | None:
        """Make two ties of the same dimension one; None when they cannot be."""
        if one is None or other is None:
            self.freeze([one, other], "it meets a value that cannot be cut")
            return None
        if one.repeat != other.repeat or self.group(one).width != self.group(other).width:
            self.freeze([one, other], "two shapes of channels meet")
            return None
        first, second = sorted((self._find(one.group), self._find(other.group)))
        if first != second:
            kept, gone = self._groups[first], self._groups[second]
            kept.cuts += gone.cuts
            kept.sizes += gone.sizes
            kept.frozen = kept.frozen or gone.frozen
            self._root[second] = first
        return one

    def freeze(self, ties: Iterable[Tie | None], why: str) -> None:
        """Say that nothing may be removed of these."""
        for tie in ties:
            if tie is not None:
                self.group(tie).frozen = self.group(tie).frozen or why

    def _stop(self, node: Node) -> None:
        """Freeze what an operator without a rule reads; outputs keep all their channels."""
        why = "it is an output" if node.op == "output" else f"{node.target} mixes its dimensions"
        for source in node.all_input_nodes:
            self.freeze(self.ties(source), why)

    def _find(self, number: int) -> int:
        while self._root[number] != number:
            number = self._root[number]
        return number


def _rank(node: Any) -> int:
    value: Any = node.meta.get("val") if isinstance(node, Node) else None
    return value.dim() if hasattr(value, "dim") else 0
