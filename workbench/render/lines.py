"""Curves and points as inline SVG with a text face: how something fell over time, what trades against what."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .svg import ACCENT, Picture
from .table import show

COLOURS = (ACCENT, "#e07b39", "#3aa676", "#a86fd6", "#c94f6d")
"""Of the series in order: apart from each other for most eyes, readable on white and on near-black."""

_WIDTH, _HEIGHT = 380, 170
_LEFT, _TOP, _BOTTOM = 52, 22, 34
_FONT = 'font-family="ui-monospace,monospace" font-size="11" fill="currentColor"'
_BLOCKS = "▁▂▃▄▅▆▇█"

Series = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axes:
    """What the two directions mean, and whether points are joined by a line."""

    x: str
    y: str
    joined: bool = True
    log_y: bool = False


def lines(series: Mapping[str, Series], axes: Axes, title: str = "") -> Picture:
    """Return curves over a common x, each in a colour of its own, with a legend.

    Values that are not finite are left out.

    Examples
    --------
    >>> print(lines({"loss": [(0, 2.0), (1, 1.5), (2, 1.0)]}, Axes("s", "loss"), "training").text())
    training: loss over s
    loss  █▅▁  2 -> 1
    """
    kept = {
        name: [
            (x, y) for x, y in points if math.isfinite(x) and math.isfinite(y) and (y > 0 or not axes.log_y)
        ]
        for name, points in series.items()
    }
    kept = {name: points for name, points in kept.items() if points}
    every = [point for points in kept.values() for point in points]
    if not every:
        return Picture("<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'></svg>", title)
    scale = _Scale.of(every, log_y=axes.log_y)
    body = [_text(0, 12, title, 'font-weight="bold"'), *_frame(scale, axes)]
    for index, (name, points) in enumerate(kept.items()):
        colour = COLOURS[index % len(COLOURS)]
        body.append(_curve([scale.place(*p) for p in points], colour, joined=axes.joined))
        y = _TOP + 10 + 15 * index
        body.append(f'<rect x="{_LEFT + _WIDTH + 10}" y="{y - 8}" width="9" height="9" fill="{colour}"/>')
        body.append(_text(_LEFT + _WIDTH + 24, y, name))
    wide = _LEFT + _WIDTH + 34 + 7 * max(len(name) for name in kept)
    name = html.escape(title or axes.y)
    size = f'width="{wide}" height="{_TOP + _HEIGHT + _BOTTOM}"'
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{name}">{"".join(body)}</svg>'
    )
    return Picture(svg, "\n".join([f"{title}: {axes.y} over {axes.x}", *_sparks(kept)]))


@dataclass(frozen=True)
class _Scale:
    left: float
    right: float
    low: float
    high: float
    log_y: bool

    @classmethod
    def of(cls, points: Series, *, log_y: bool) -> _Scale:
        xs, ys = [x for x, _ in points], [math.log10(y) if log_y else y for _, y in points]
        pad = 0.05 * (max(ys) - min(ys)) or 0.05 * abs(ys[0]) or 1.0
        right = max(xs) if max(xs) > min(xs) else min(xs) + 1
        low = min(ys) - pad
        if low < 0 <= min(ys) and not log_y:
            low = 0.0  # a loss or a latency has no room below zero
        return cls(min(xs), right, low, max(ys) + pad, log_y)

    def place(self, x: float, y: float) -> tuple[float, float]:
        y = math.log10(y) if self.log_y else y
        across = (x - self.left) / (self.right - self.left)
        up = (y - self.low) / (self.high - self.low)
        return _LEFT + _WIDTH * across, _TOP + _HEIGHT * (1 - up)

    def ticks(self) -> list[tuple[float, float]]:
        """Return (value, y position) of five lines."""
        values = [self.low + (self.high - self.low) * i / 4 for i in range(5)]
        return [(10**v if self.log_y else v, _TOP + _HEIGHT * (1 - i / 4)) for i, v in enumerate(values)]


def _frame(scale: _Scale, axes: Axes) -> list[str]:
    parts = []
    for value, y in scale.ticks():
        parts.append(
            f'<line x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" '
            f'opacity="0.15"/>'
        )
        parts.append(
            _text(_LEFT - 6, y + 4, show(float(f"{value:.{2 if axes.log_y else 3}g}")), 'text-anchor="end"')
        )
    base = _TOP + _HEIGHT + 14
    parts.append(_text(_LEFT, base, show(float(f"{scale.left:.3g}")), 'text-anchor="middle"'))
    parts.append(_text(_LEFT + _WIDTH, base, show(float(f"{scale.right:.3g}")), 'text-anchor="middle"'))
    parts.append(_text(_LEFT + _WIDTH / 2, base + 12, f"{axes.y} over {axes.x}", 'text-anchor="middle"'))
    return parts


def _curve(places: Sequence[tuple[float, float]], colour: str, *, joined: bool) -> str:
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in places)
    if not joined:
        return dots
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}'


def _sparks(series: Mapping[str, Series]) -> list[str]:
    ys = [y for points in series.values() for _, y in points]
    low, span = min(ys), (max(ys) - min(ys)) or 1.0
    wide = max(len(name) for name in series)
    return [
        f"{name:<{wide}}  {''.join(_BLOCKS[min(7, round(7 * (y - low) / span))] for _, y in points)}"
        f"  {show(float(points[0][1]))} -> {show(float(points[-1][1]))}"
        for name, points in series.items()
    ]


def _text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" {_FONT} {more}>{html.escape(words)}</text>'
