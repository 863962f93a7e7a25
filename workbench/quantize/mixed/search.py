"""From sensitivities to the smallest program that passes.

Each layer's choices lie in a plane of bytes and loss; only those on its lower convex hull are worth taking. A move
goes from one corner of a hull to the next smaller one. All moves of all layers, sorted by loss per byte saved, are one
path from the float program to the smallest; losses are taken to add up (they come from different layers and are
small). Where on that path the score falls too far is found by bisection, with the user's own measure: a handful of
evaluations, not one a combination. Moves beyond that point are then tried one by one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..formats import Format
from ..points import MixedPoint

_BEYOND = 6
"""Moves beyond the end of the path that are tried one by one."""


@dataclass(frozen=True)
class Option:
    """One format a layer may take: its bytes, and the share of the output's power that is lost."""

    form: Format
    size_bytes: int
    loss: float


@dataclass(frozen=True)
class Move:
    """One layer goes to a smaller format."""

    layer: str
    form: Format
    saved_bytes: int
    loss: float


Formats = Mapping[str, Format]
Score = Callable[[Formats], float]


def path(options: Mapping[str, Sequence[Option]]) -> list[Move]:
    """Return all moves, the cheapest first; a layer's own moves come from large to small.

    Examples
    --------
    >>> a = [Option("ternary", 1, 0.5), Option("int8", 4, 0.01), Option("float", 16, 0.0)]
    >>> [(m.layer, m.form) for m in path({"a": a, "b": [Option("int8", 4, 0.2), Option("float", 16, 0.0)]})]
    [('a', 'int8'), ('b', 'int8'), ('a', 'ternary')]
    """
    moves: list[tuple[float, int, Move]] = []
    for layer, choices in options.items():
        corners = _hull(choices)
        for before, after in itertools.pairwise(corners):
            saved, loss = before.size_bytes - after.size_bytes, after.loss - before.loss
            moves.append((loss / saved, len(moves), Move(layer, after.form, saved, loss)))
    return [move for *_, move in sorted(moves)]


def _hull(choices: Sequence[Option]) -> list[Option]:
    """Return the corners of the lower convex hull from the largest option to the smallest."""
    corners: list[Option] = []
    for option in sorted(choices, key=lambda o: (-o.size_bytes, o.loss)):
        if corners and option.size_bytes == corners[-1].size_bytes:
            continue
        while corners and option.loss <= corners[-1].loss:
            corners.pop()  # smaller and no worse
        while len(corners) > 1 and _slope(corners[-2], corners[-1]) >= _slope(corners[-1], option):
            corners.pop()
        corners.append(option)
    return corners


def _slope(large: Option, small: Option) -> float:
    return (small.loss - large.loss) / (large.size_bytes - small.size_bytes)


class Search:
    """Looks for the smallest program whose score is at least `least`.

    Parameters
    ----------
    options
        What each layer may become; see :func:`workbench.quantize.mixed.sensitivity.options`.
    score
        Scores a choice of formats, higher is better.
    least
        The score that is enough.
    """

    def __init__(self, options: Mapping[str, Sequence[Option]], score: Score, least: float) -> None:
        self._options, self._score, self._least = options, score, least
        self._known: dict[tuple[tuple[str, Format], ...], float] = {}
        self.points: list[MixedPoint] = []

    def run(self) -> dict[str, Format]:
        """Return the formats that were chosen; what was scored on the way is in ``points``."""
        moves = path(self._options)
        low, high = 0, len(moves)  # the first `low` moves pass: none at all do
        while low < high:
            middle = (low + high + 1) // 2
            if self.passes(self.after(moves[:middle])):
                low = middle
            else:
                high = middle - 1
        taken = list(moves[:low])
        for move in moves[low + 1 : low + 1 + _BEYOND]:
            if self._follows(move, taken) and self.passes(self.after([*taken, move])):
                taken.append(move)
        return self.after(taken)

    def after(self, moves: Sequence[Move]) -> dict[str, Format]:
        """Return the formats after these moves; a layer with none has its largest."""
        formats = {layer: max(o, key=lambda c: c.size_bytes).form for layer, o in self._options.items()}
        return formats | {move.layer: move.form for move in moves}

    def passes(self, formats: Formats, label: str = "") -> bool:
        """Score a choice once, remember it as a point, and say whether it passes."""
        key = tuple(sorted(formats.items()))
        if key not in self._known:
            self._known[key] = self._score(formats)
            good = self._known[key] >= self._least
            self.points.append(MixedPoint(label or name(formats), self.size(formats), self._known[key], good))
        return self._known[key] >= self._least

    def size(self, formats: Formats) -> int:
        """Return the bytes of the layers' weights."""
        return sum(
            o.size_bytes for layer, os in self._options.items() for o in os if o.form == formats[layer]
        )

    def _follows(self, move: Move, taken: Sequence[Move]) -> bool:
        """Whether the move makes its layer smaller than it is after `taken`."""
        sizes = {o.form: o.size_bytes for o in self._options[move.layer]}
        return sizes[move.form] < sizes[self.after(taken)[move.layer]]


def name(formats: Formats) -> str:
    """Return how many layers have each format.

    Examples
    --------
    >>> name({"a": "ternary", "b": "int8", "c": "ternary"})
    '2 ternary, 1 int8'
    """
    counts: dict[str, int] = {}
    for form in formats.values():
        counts[form] = counts.get(form, 0) + 1
    return ", ".join(f"{count} {form}" for form, count in sorted(counts.items(), key=lambda item: -item[1]))
