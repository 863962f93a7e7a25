"""The flame graph of one trace, and of two: what grew and what shrank."""

from __future__ import annotations

import zlib

from ...render.units import amount
from ..attribution import label
from ..costs import WEIGHTS, Weight
from ..model import Trace
from ..rows import Frame
from ..tree import Node, paired_tree, tree
from .icicle import Style, heading, icicle

# hue, saturation, lightness: cell lines stand out, Python green, native amber
_COLOURS = {"cell": (214, 82, 73), "python": (150, 42, 69), "native": (34, 78, 71)}
_ROOT = "#c3c8cf"
_KEYS = (("hsl(214,82%,73%)", "cell"), ("hsl(150,42%,69%)", "Python"), ("hsl(34,78%,71%)", "native"))
_SAME, _GREW, _SHRANK = "#d3d7dc", "hsl(6,85%,68%)", "hsl(208,85%,66%)"
_DIFFERENCE_KEYS = ((_SHRANK, "less"), (_SAME, "same"), (_GREW, "more"))


def flame_svg(trace: Trace, weight: str = "cpu") -> str:
    """Return the graph as SVG text; a line of text when nothing was seen.

    Parameters
    ----------
    trace
        The trace.
    weight
        One of :data:`~workbench.trace.costs.WEIGHTS`.
    """
    kind, root = WEIGHTS[weight], tree(trace, weight)
    if not root.value:
        empty = "no CPU samples" if weight == "cpu" else f"no {kind.title} seen"
        return icicle(root, Style(_value, _colour, str, heading(empty)))
    words = f"{amount(root.value, kind.unit)} of {kind.title} · callers above, callees below".lstrip()
    return icicle(root, Style(_value, _colour, _Tip(root.value, kind), heading(words, keys=_KEYS)))


def difference_svg(before: Trace, after: Trace, weight: str = "cpu") -> str:
    """Return both traces in one graph: the width is the mean of both, the colour the change.

    The mean leaves room for what is in one of them only, which the width of either alone would hide.
    """
    kind, root = WEIGHTS[weight], paired_tree(before, after, weight)
    totals = f"{amount(root.before, kind.unit)} before, {amount(root.value, kind.unit)} after"
    words = f"{kind.title}: {totals} · width: mean of both"
    style = Style(_mean, _change_colour, _Difference(root, kind), heading(words, keys=_DIFFERENCE_KEYS))
    return icicle(root, style)


class _Tip:
    """Writes a box's tooltip: name, weight, share, source line."""

    def __init__(self, total: float, kind: Weight) -> None:
        self._total, self._kind = total, kind

    def __call__(self, node: Node) -> str:
        figure = amount(node.value, self._kind.unit)
        if node.frame is None:
            return f"all: {figure}"
        source = f"\n{node.frame.text}" if node.frame.text else ""
        return f"{label(node.frame)}\n{figure}, {node.value / self._total:.1%}{source}"


class _Difference:
    """Writes a box's tooltip: name, before, after, change, source line."""

    def __init__(self, root: Node, kind: Weight) -> None:
        self._kind = kind

    def __call__(self, node: Node) -> str:
        unit = self._kind.unit
        name = "all" if node.frame is None else label(node.frame)
        source = f"\n{node.frame.text}" if node.frame and node.frame.text else ""
        change = "new" if not node.before else f"{(node.value - node.before) / node.before:+.0%}"
        return f"{name}\n{amount(node.before, unit)} → {amount(node.value, unit)} ({change}){source}"


def _value(node: Node) -> float:
    return node.value


def _mean(node: Node) -> float:
    return (node.value + node.before) / 2


def _change_colour(node: Node) -> str:
    """Return grey for no change, through red (more) or blue (less) at half or twice the weight."""
    whole = node.value + node.before
    change = 3 * (node.value - node.before) / whole if whole else 0.0  # ±1 at half and at twice
    strength = min(abs(change), 1.0)
    hue, lightness = (6, 68) if change > 0 else (208, 66)
    return f"hsl({hue},{85 * strength:.0f}%,{84 - (84 - lightness) * strength:.0f}%)"


def _colour(node: Node) -> str:
    if node.frame is None:
        return _ROOT
    hue, saturation, lightness = _COLOURS[kind_of(node.frame)]
    # Neighbours differ a little; the same function has the same colour in every picture.
    shift = zlib.crc32(node.frame.name.encode()) % 13 - 6
    return f"hsl({hue + shift},{saturation}%,{lightness + shift // 2}%)"


def kind_of(frame: Frame) -> str:
    """Return ``cell``, ``python`` or ``native``."""
    return "cell" if frame.cell else frame.kind
