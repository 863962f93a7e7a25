"""Points with names and sizes as inline SVG: what is fast, what is good, what is large."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from .svg import ACCENT, Picture
from .table import show

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _RIGHT = 420, 210, 56, 26, 40, 150
_FONT = 'font-family="ui-monospace,monospace" font-size="11" fill="currentColor"'
_RADIUS = 4, 16  # of the smallest and the largest bubble


@dataclass(frozen=True)
class Bubble:
    """One point: its name, where it lies, how large it is, and whether it stands out."""

    name: str
    x: float
    y: float
    size: float
    marked: bool = False
    faint: bool = False


def bubbles(points: Sequence[Bubble], x: str, y: str, title: str) -> Picture:
    """Return points over a logarithmic x; the area says the size, marked ones are filled.

    Examples
    --------
    >>> points = [Bubble("a", 1.0, 99.0, 4.0, marked=True), Bubble("b", 2.0, 98.0, 1.0)]
    >>> print(bubbles(points, "ms", "score", "t").text())
    t: score over ms
    * a  1  99
      b  2  98
    """
    if not points:
        return Picture("<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'></svg>", title)
    xs, ys = [math.log10(one.x) for one in points], [one.y for one in points]
    left, right = min(xs), max(max(xs), min(xs) + 0.1)
    pad = 0.08 * (max(ys) - min(ys)) or 0.5
    low, high = min(ys) - pad, max(ys) + pad

    def place(one: Bubble) -> tuple[float, float]:
        across = (math.log10(one.x) - left) / (right - left)
        return _LEFT + 20 + (_WIDTH - 40) * across, _TOP + _HEIGHT * (1 - (one.y - low) / (high - low))

    body = [
        _text(0, 12, title, 'font-weight="bold"'),
        *_frame(low, high, 10**left, 10**right, f"{y} over {x}"),
    ]
    for one in sorted(points, key=lambda one: (one.marked, -one.size)):
        body += _bubble(one, place(one), one.size / max(p.size for p in points))
    wide, tall = _LEFT + _WIDTH + _RIGHT, _TOP + _HEIGHT + _BOTTOM
    name = html.escape(title)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{tall}" role="img" '
        f'aria-label="{name}">{"".join(body)}</svg>'
    )
    lines = [f"{'*' if p.marked else ' '} {p.name}  {show(float(p.x))}  {show(float(p.y))}" for p in points]
    return Picture(svg, "\n".join([f"{title}: {y} over {x}", *lines]))


def _bubble(one: Bubble, at: tuple[float, float], share: float) -> list[str]:
    radius = _RADIUS[0] + (_RADIUS[1] - _RADIUS[0]) * math.sqrt(max(share, 0.0))
    fill = 0.75 if one.marked else 0.25
    opacity = 0.45 if one.faint else 1
    circle = (
        f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{radius:.1f}" fill="{ACCENT}" fill-opacity="{fill}" '
        f'stroke="{ACCENT}" opacity="{opacity}"/>'
    )
    return [circle, _text(at[0] + radius + 4, at[1] + 4, one.name, f'opacity="{opacity}"')]


def _frame(low: float, high: float, left: float, right: float, caption: str) -> list[str]:
    parts = []
    for i in range(5):
        y = _TOP + _HEIGHT * (1 - i / 4)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" opacity="0.15"/>'
        )
        parts.append(
            _text(_LEFT - 6, y + 4, show(float(f"{low + (high - low) * i / 4:.4g}")), 'text-anchor="end"')
        )
    base = _TOP + _HEIGHT + 16
    parts.append(_text(_LEFT + 20, base, show(float(f"{left:.3g}")), 'text-anchor="middle"'))
    parts.append(_text(_LEFT + _WIDTH - 20, base, show(float(f"{right:.3g}")), 'text-anchor="middle"'))
    parts.append(_text(_LEFT + _WIDTH / 2, base + 12, caption, 'text-anchor="middle"'))
    return parts


def _text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" {_FONT} {more}>{html.escape(words)}</text>'
