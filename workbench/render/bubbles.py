"""Points with names and sizes as inline SVG: what is fast, what is good, what is large."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .svg import ACCENT, Picture
from .table import show

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _RIGHT = 420, 210, 56, 26, 40, 150
_FONT = 'font-family="ui-monospace,monospace" font-size="11" fill="currentColor"'
_RADIUS = 4, 16  # of the smallest and the largest bubble
_LETTER, _LINE = 6.8, 13  # of a name
_ROWS = (0, *(sign * _LINE * row for row in range(1, 18) for sign in (1, -1)))
"""How far a name may lie below its point, in the order of trying."""


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
    if low < 0 <= min(ys):
        low = 0.0  # what has no negative value gets no room for it

    def place(one: Bubble) -> tuple[float, float]:
        across = (math.log10(one.x) - left) / (right - left)
        return _LEFT + 20 + (_WIDTH - 40) * across, _TOP + _HEIGHT * (1 - (one.y - low) / (high - low))

    body = [
        _text(0, 12, title, 'font-weight="bold"'),
        *_frame(low, high, 10**left, 10**right, f"{y} over {x}"),
    ]
    spots = {one: _Spot(*place(one), _radius(one.size / max(p.size for p in points))) for one in points}
    for one in sorted(points, key=lambda one: (one.marked, -one.size)):
        body.append(_circle(one, spots[one]))
    body += _labels(spots)
    wide, tall = _LEFT + _WIDTH + _RIGHT, _TOP + _HEIGHT + _BOTTOM
    name = html.escape(title)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{tall}" role="img" '
        f'aria-label="{name}">{"".join(body)}</svg>'
    )
    lines = [f"{'*' if p.marked else ' '} {p.name}  {show(float(p.x))}  {show(float(p.y))}" for p in points]
    return Picture(svg, "\n".join([f"{title}: {y} over {x}", *lines]))


@dataclass(frozen=True)
class _Spot:
    x: float
    y: float
    radius: float

    def box(self) -> _Box:
        """Return what it covers."""
        return _Box(self.x - self.radius, self.y - self.radius, self.x + self.radius, self.y + self.radius)


def _radius(share: float) -> float:
    return _RADIUS[0] + (_RADIUS[1] - _RADIUS[0]) * math.sqrt(max(share, 0.0))


def _circle(one: Bubble, at: _Spot) -> str:
    return (
        f'<circle cx="{at.x:.1f}" cy="{at.y:.1f}" r="{at.radius:.1f}" fill="{ACCENT}" '
        f'fill-opacity="{0.75 if one.marked else 0.25}" stroke="{ACCENT}" opacity="{_opacity(one)}"/>'
    )


def _opacity(one: Bubble) -> float:
    return 0.45 if one.faint else 1


def _labels(spots: Mapping[Bubble, _Spot]) -> list[str]:
    """Return the names, each beside its point where nothing is yet; one further off has a line to its point."""
    parts: list[str] = []
    points = {one: at.box() for one, at in spots.items()}
    names: list[_Box] = []
    for one in sorted(spots, key=lambda one: (not one.marked, one.faint, one.x)):
        at, wide = spots[one], _LETTER * len(one.name)
        left = at.x + at.radius + 4
        others = [*names, *(box for other, box in points.items() if other != one)]
        rows = {down: _Box(left, at.y + down - 6, left + wide, at.y + down + 6) for down in _ROWS}
        free = [row for kept in (others, names) for row, box in rows.items() if box.free(kept)]
        down = free[0] if free else 0
        names.append(rows[down])
        if down:
            parts.append(
                f'<path d="M{at.x:.1f} {at.y:.1f}L{left - 2:.1f} {at.y + down:.1f}" fill="none" stroke="currentColor" '
                f'opacity="0.35"/>'
            )
        parts.append(_text(left, at.y + down + 4, one.name, f'opacity="{_opacity(one)}"'))
    return parts


@dataclass(frozen=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def free(self, others: Sequence[_Box]) -> bool:
        """Return whether it lies in the picture and touches no other."""
        inside = self.top >= _TOP - 6 and self.bottom <= _TOP + _HEIGHT + 6
        return inside and not any(
            self.left < one.right
            and one.left < self.right
            and self.top < one.bottom
            and one.top < self.bottom
            for one in others
        )


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
