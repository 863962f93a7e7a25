"""A tree of calls as boxes in plain SVG: callers above, callees below, the width is the weight.

No script and no background of its own: boxes are light with dark text and what stands outside them takes the
page's colour, so it reads on light and dark pages, in nbconvert and on GitHub.
"""

from __future__ import annotations

import heapq
import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..attribution import label
from ..tree import Node

WIDTH = 960
ROW = 19
_HEADER = 26
_CHARACTER = 7.3  # px of one 12 px monospace character
MAX_BOXES = 1_000
_SMALLEST = 0.5  # px; thinner boxes are left out, their parent shows the gap
_DEEPEST = 64  # rows; deeper ones are left out and said to be
_INK = "#14181f"
_FONT = 'font-family="ui-monospace,monospace" font-size="12"'


@dataclass(frozen=True)
class Style:
    """How a tree is drawn: what a box weighs, its colour, its tooltip, and the words above (SVG)."""

    weight: Callable[[Node], float]
    colour: Callable[[Node], str]
    tip: Callable[[Node], str]
    heading: str


def icicle(root: Node, style: Style) -> str:
    """Return the tree as SVG text."""
    whole = style.weight(root)
    if whole <= 0:
        return _svg(_HEADER, [style.heading])
    boxes = list(_boxes(root, style, WIDTH / whole))
    rows = max(row for row, _ in boxes) + 1
    body = [style.heading, *(box for row, box in boxes if row < _DEEPEST)]
    if rows > _DEEPEST:
        body.append(heading(f"{rows - _DEEPEST} deeper rows are not drawn", _HEADER + _DEEPEST * ROW + 14))
    return _svg(_HEADER + min(rows, _DEEPEST + 1) * ROW + 2, body)


def heading(words: str, y: int = 15, keys: tuple[tuple[str, str], ...] = ()) -> str:
    """Return a line of text, with (colour, meaning) swatches right of it."""
    parts = [f'<text x="0" y="{y}" {_FONT} fill="currentColor">{html.escape(words)}</text>']
    right = float(WIDTH)
    for colour, meaning in reversed(keys):
        right -= _CHARACTER * len(meaning) + 4
        parts.append(
            f'<rect x="{right - 15:.0f}" y="{y - 10}" width="11" height="11" rx="2" fill="{colour}"/>'
            f'<text x="{right:.0f}" y="{y}" {_FONT} fill="currentColor">{html.escape(meaning)}</text>'
        )
        right -= 22
    return "".join(parts)


def _boxes(root: Node, style: Style, scale: float) -> Iterator[tuple[int, str]]:
    """Yield (row, SVG) of the boxes that are wide enough to see, the widest :data:`MAX_BOXES` of them."""
    pending: list[tuple[float, int, Node, float, int]] = [(-style.weight(root), 0, root, 0.0, 0)]
    count = 0  # breaks ties, and keeps nodes from being compared
    for _ in range(MAX_BOXES):
        if not pending:
            return
        weight, _, node, left, row = heapq.heappop(pending)
        yield row, _box(node, style, left, -weight * scale, row)
        for child in sorted(node.children.values(), key=style.weight, reverse=True):
            value = style.weight(child)
            if value * scale < _SMALLEST:
                break
            count += 1
            heapq.heappush(pending, (-value, count, child, left, row + 1))
            left += value * scale


def _box(node: Node, style: Style, left: float, width: float, row: int) -> str:
    top = _HEADER + row * ROW
    name = "all" if node.frame is None else label(node.frame)
    room = int((width - 7) / _CHARACTER)
    text = name if len(name) <= room else name[: room - 1] + "…" if room >= 3 else ""
    shown = (
        f'<text x="{left + 3:.1f}" y="{top + 13}" fill="{_INK}">{html.escape(text)}</text>' if text else ""
    )
    return (
        f"<g><title>{html.escape(style.tip(node))}</title>"
        f'<rect x="{left:.1f}" y="{top}" width="{max(width - 0.6, 0.4):.1f}" height="{ROW - 1}" rx="1.5" '
        f'fill="{style.colour(node)}"/>{shown}</g>'
    )


def _svg(height: int, body: list[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="100%" {_FONT} '
        f'style="max-width:1280px;min-width:640px">{"".join(body)}</svg>'
    )
