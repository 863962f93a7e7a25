"""The stacks as one picture: an icicle graph (callers above, callees below, width is CPU time) in plain SVG.

No script: it shows wherever a notebook is shown. Each box has a tooltip with its full name, time and share.
"""

from __future__ import annotations

import html
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..attribution import label, weighted_stacks
from ..model import Trace
from ..rows import Frame

WIDTH = 1200
_ROW = 18
_HEADER = 24
_CHARACTER = 6.7  # px of one 11 px monospace character
_SMALLEST = 0.4  # px; thinner boxes are left out, their parent shows the gap
# hue, saturation, lightness: cell lines stand out, Python green, native orange
_COLOURS = {"cell": (210, 75, 68), "python": (140, 45, 70), "native": (28, 80, 72)}


@dataclass
class Node:
    """A box: a frame under its callers."""

    frame: Frame | None
    seconds: float = 0.0
    children: dict[str, Node] = field(default_factory=dict)


def tree(trace: Trace) -> Node:
    """Return the stacks merged by what frames read like."""
    root = Node(None)
    for stack, seconds in weighted_stacks(trace).items():
        node = root
        node.seconds += seconds
        for frame in stack:
            node = node.children.setdefault(_merge_key(frame), Node(frame))
            node.seconds += seconds
    return root


def flame_svg(trace: Trace) -> str:
    """Return the graph as SVG text; a line of text when there is no CPU sample."""
    root = tree(trace)
    if not root.seconds:
        return _svg(_HEADER, ['<text x="4" y="16">no CPU samples</text>'])
    boxes = list(_boxes(root, 0.0, WIDTH / root.seconds, 0, root.seconds))
    depth = max(row for row, _ in boxes) + 1
    title = (
        f'<text x="4" y="16">{root.seconds:.3g} s of CPU time; callers above, callees below; '
        '<tspan fill="#2a6db0">cell</tspan> <tspan fill="#2e8b57">Python</tspan> '
        '<tspan fill="#c46a1b">native</tspan></text>'
    )
    return _svg(_HEADER + depth * _ROW + 2, [title, *(box for _, box in boxes)])


def _boxes(node: Node, left: float, scale: float, row: int, total: float) -> Iterator[tuple[int, str]]:
    """Yield (row, SVG) of a node's box and all below it, widest first."""
    if node.frame is None:
        yield row, _box(left, node.seconds * scale, row, "all", f"all: {node.seconds:.3f} s", "#dddddd")
    else:
        name = label(node.frame)
        source = f"\n{node.frame.text}" if node.frame.text else ""
        tip = f"{name}\n{node.seconds:.3f} s, {node.seconds / total:.1%}{source}"
        yield row, _box(left, node.seconds * scale, row, name, tip, _colour(node.frame))
    for child in sorted(node.children.values(), key=lambda child: -child.seconds):
        width = child.seconds * scale
        if width >= _SMALLEST:
            yield from _boxes(child, left, scale, row + 1, total)
        left += width


def _box(left: float, width: float, row: int, name: str, tip: str, colour: str) -> str:
    top = _HEADER + row * _ROW
    room = int((width - 6) / _CHARACTER)
    text = name if len(name) <= room else name[: room - 1] + "…" if room >= 4 else ""
    shown = f'<text x="{left + 3:.1f}" y="{top + 13}">{html.escape(text)}</text>' if text else ""
    return (
        f"<g><title>{html.escape(tip)}</title>"
        f'<rect x="{left:.1f}" y="{top}" width="{max(width - 0.5, 0.3):.1f}" '
        f'height="{_ROW - 1}" fill="{colour}"/>'
        f"{shown}</g>"
    )


def _merge_key(frame: Frame) -> str:
    """Lines of a cell are boxes of their own; elsewhere a function is one box, whatever its lines."""
    if frame.cell or frame.kind == "native":
        return label(frame)
    return f"{frame.name}\0{frame.file}"


def _colour(frame: Frame) -> str:
    hue, saturation, lightness = _COLOURS["cell" if frame.cell else frame.kind]
    # Neighbours differ a little; the same function has the same colour in every picture.
    shift = zlib.crc32(frame.name.encode()) % 13 - 6
    return f"hsl({hue + shift},{saturation}%,{lightness + shift // 2}%)"


def _svg(height: int, body: list[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="100%" '
        'font-family="monospace" font-size="11" style="background:#fff;min-width:600px">'
        + "".join(body)
        + "</svg>"
    )
