"""Small pictures as inline SVG with a text face: bars and graphs.

No script, no style sheet, no fixed colours of the page: text is drawn in ``currentColor``, so that a picture
reads on a light and on a dark theme, in a saved notebook, in nbconvert and on GitHub.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ACCENT = "#4c8bf5"
"""Fill of bars and boxes: readable on white and on near-black."""

_CHAR_PX = 7.2  # width of a 12 px monospace character
_FONT = 'font-family="ui-monospace,monospace" font-size="12" fill="currentColor"'


@dataclass(frozen=True)
class Picture:
    """An SVG and the text that says the same."""

    svg: str
    alt: str

    def text(self) -> str:
        """Return the text face."""
        return self.alt

    def html(self) -> str:
        """Return the SVG; its text face is its accessible title."""
        return self.svg


@dataclass(frozen=True)
class Bar:
    """One bar: a label, a length from 0 to 1, and the figure written behind it."""

    label: str
    share: float
    figure: str


def bars(rows: Sequence[Bar], title: str = "") -> Picture:
    """Return horizontal bars, one a row.

    Examples
    --------
    >>> print(bars([Bar("stable", 0.9, "90 %"), Bar("canary", 0.1, "10 %")]).text())
    stable ██████████████████   90 %
    canary ██                   10 %
    """
    label_px = _CHAR_PX * max((len(r.label) for r in rows), default=0) + 8
    figure_px = _CHAR_PX * max((len(r.figure) for r in rows), default=0) + 8
    width, top = max(label_px + 200 + figure_px, _CHAR_PX * len(title)), 18 if title else 0
    body = [_text(0, 12, title, 'font-weight="bold"')] if title else []
    for i, row in enumerate(rows):
        y, length = top + 20 * i, 200 * _clip(row.share)
        body.append(_text(0, y + 14, row.label))
        body.append(
            f'<rect x="{label_px:.0f}" y="{y + 3}" width="200" height="14" fill="{ACCENT}" opacity="0.15"/>'
        )
        body.append(
            f'<rect x="{label_px:.0f}" y="{y + 3}" width="{length:.1f}" height="14" fill="{ACCENT}"/>'
        )
        body.append(_text(label_px + 206, y + 14, row.figure))
    alt = "\n".join([*([title] if title else []), *_text_bars(rows)])
    return Picture(_svg(width, top + 20 * len(rows), body, title or "bars"), alt)


def _text_bars(rows: Sequence[Bar]) -> list[str]:
    wide = max((len(r.label) for r in rows), default=0)
    return [f"{r.label:<{wide}} {'█' * round(20 * _clip(r.share)):<20} {r.figure}" for r in rows]


def _clip(share: float) -> float:
    return min(max(share, 0.0), 1.0)


@dataclass(frozen=True)
class Node:
    """One box of a graph: lines of text, and whether it is the one asked for."""

    lines: tuple[str, ...]
    marked: bool = False


def graph(nodes: Mapping[str, Node], edges: Sequence[tuple[str, str]], title: str = "") -> Picture:
    """Return a left-to-right drawing of an acyclic graph.

    Parameters
    ----------
    nodes
        Boxes by key.
    edges
        ``(from, to)`` pairs of keys.
    """
    columns = _columns(nodes, edges)
    places, width, height = _place(nodes, columns)
    body = [_arrow(places[a], places[b]) for a, b in edges]
    body += [_box(places[key], nodes[key]) for key in nodes]
    return Picture(_svg(width, height, body, title or "graph"), _text_graph(nodes, edges, columns))


def _columns(nodes: Mapping[str, Node], edges: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Put each node one column right of its rightmost parent."""
    depth = dict.fromkeys(nodes, 0)
    for _ in nodes:
        for a, b in edges:
            depth[b] = max(depth[b], depth[a] + 1)
    return [[key for key in nodes if depth[key] == d] for d in range(max(depth.values(), default=-1) + 1)]


@dataclass(frozen=True)
class _Place:
    x: float
    y: float
    width: float
    height: float


def _place(
    nodes: Mapping[str, Node], columns: Sequence[Sequence[str]]
) -> tuple[dict[str, _Place], float, float]:
    places: dict[str, _Place] = {}
    x, bottom = 1.0, 0.0
    for column in columns:
        wide = max(_CHAR_PX * len(line) for key in column for line in nodes[key].lines) + 16
        y = 1.0
        for key in column:
            high = 15.0 * len(nodes[key].lines) + 10
            places[key] = _Place(x, y, wide, high)
            y += high + 12
        x, bottom = x + wide + 44, max(bottom, y - 12)
    return places, max(x - 44, 0) + 1, bottom + 1


def _box(place: _Place, node: Node) -> str:
    line, opacity = (2, 0.3) if node.marked else (1, 0.12)
    corner = f'x="{place.x:.0f}" y="{place.y:.0f}" rx="5"'
    size = f'width="{place.width:.0f}" height="{place.height:.0f}"'
    paint = f'fill="{ACCENT}" fill-opacity="{opacity}" stroke="{ACCENT}" stroke-width="{line}"'
    rect = f"<rect {corner} {size} {paint}/>"
    words = [_text(place.x + 8, place.y + 17 + 15 * i, words) for i, words in enumerate(node.lines)]
    return rect + "".join(words)


def _arrow(a: _Place, b: _Place) -> str:
    x1, y1, x2, y2 = a.x + a.width, a.y + a.height / 2, b.x, b.y + b.height / 2
    mid = (x1 + x2) / 2
    curve = f"M{x1:.0f} {y1:.0f}C{mid:.0f} {y1:.0f} {mid:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
    tip = f"M{x2 - 6:.0f} {y2 - 3:.0f}L{x2:.0f} {y2:.0f}L{x2 - 6:.0f} {y2 + 3:.0f}z"
    return f'<path d="{curve}" fill="none" stroke="currentColor"/><path d="{tip}" fill="currentColor"/>'


def _text_graph(
    nodes: Mapping[str, Node], edges: Sequence[tuple[str, str]], columns: Sequence[Sequence[str]]
) -> str:
    lines = []
    for key in (key for column in columns for key in column):
        parents = [nodes[a].lines[0] for a, b in edges if b == key]
        origin = f"  <- {', '.join(parents)}" if parents else ""
        lines.append(f"{'*' if nodes[key].marked else ' '} {'  '.join(nodes[key].lines)}{origin}")
    return "\n".join(lines)


def _text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" {_FONT} {more}>{html.escape(words)}</text>'


def _svg(width: float, height: float, body: Sequence[str], title: str) -> str:
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    name = html.escape(title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{name}">{"".join(body)}</svg>'
    )
