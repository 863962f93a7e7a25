"""The timeline: CPU, off-CPU, operators, faults on one axis, as plain SVG (:mod:`..lanes` has the sums)."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

import numpy as np

from ...render.units import duration
from ..lanes import OTHER, Lane, Values, lanes, length_ns
from ..model import Trace
from .icicle import WIDTH

# Of one strength on white and on near-black, told apart by lightness as well as by hue.
COLOURS = ("#4c8bf5", "#e8833a", "#b36ae2", "#1fa8b8", "#d9659b", "#a3a12c")
_REST = "#8b929c"
_VERDICTS = {"violation": "#e5484d", "denied": "#e5484d", "stopped": "#e5484d", "allowed": "#2fa36b"}
_LEFT, _RIGHT, _HIGH, _GAP, _TOP = 92, 62, 46, 26, 4
_FONT = 'font-family="ui-monospace,monospace" font-size="12" fill="currentColor"'
_CHARACTER = 7.3


def timeline_svg(trace: Trace, drawn: Sequence[Lane] | None = None) -> str:
    """Return the lanes below each other over one time axis; a line of text when nothing was seen."""
    rows, end_ns = lanes(trace) if drawn is None else drawn, length_ns(trace)
    if not rows:
        return _svg(24, [f'<text x="0" y="15" {_FONT}>nothing to place on a time axis</text>'])
    step = _GAP + _HIGH
    bottom = _TOP + step * len(rows)
    colours = colours_of(rows)
    body = [_grid(end_ns, bottom), *(_lane(lane, _TOP + step * i, colours) for i, lane in enumerate(rows))]
    return _svg(bottom + 24, body)


def _lane(lane: Lane, top: int, colours: Mapping[str, str]) -> str:
    base, peak = top + _GAP + _HIGH, lane.top
    parts = [
        f'<text x="0" y="{base - _HIGH / 2 + 4:.0f}" {_FONT} font-weight="bold">{lane.name}</text>',
        f'<text x="{WIDTH - _RIGHT + 6}" y="{base - _HIGH + 10}" {_FONT} opacity="0.75">'
        f"{_figure(peak)}<title>{lane.unit} at the highest point</title></text>",
        _legend(lane, top + 17, colours),
    ]
    floor = np.zeros(len(lane.series[0].values))
    for series in lane.series:
        ceiling = floor + series.values
        path = _area(floor / peak, ceiling / peak, base) if peak else ""
        parts.append(
            f'<path d="{path}" fill="{colours[series.name]}"><title>{html.escape(series.name)}</title></path>'
        )
        floor = ceiling
    parts.append(f'<path d="M{_LEFT} {base}H{WIDTH - _RIGHT}" stroke="currentColor" stroke-opacity="0.45"/>')
    return "".join(parts)


def colours_of(rows: Sequence[Lane]) -> dict[str, str]:
    """Return a colour by series: the same line has the same one in every lane, neighbours differ.

    The rest is grey, what breaks the policy red.
    """
    colours = {OTHER: _REST, **_VERDICTS}
    for lane in rows:
        names = [series.name for series in lane.series]
        free = [colour for colour in COLOURS if colour not in {colours.get(name) for name in names}]
        for name in names:
            if name not in colours:
                colours[name] = free.pop(0)
    return colours


def _legend(lane: Lane, y: int, colours: Mapping[str, str]) -> str:
    parts, left = [f'<text x="{_LEFT}" y="{y}" {_FONT} opacity="0.75">{lane.unit}</text>'], float(_LEFT)
    left += _CHARACTER * len(lane.unit) + 16
    for series in lane.series:
        name = series.name if len(series.name) <= 26 else "…" + series.name[-25:]
        if left + 18 + _CHARACTER * len(name) > WIDTH - _RIGHT:
            break
        parts.append(
            f'<rect x="{left:.0f}" y="{y - 10}" width="11" height="11" rx="2" '
            f'fill="{colours[series.name]}"/>'
            f'<text x="{left + 15:.0f}" y="{y}" {_FONT}>{html.escape(name)}</text>'
        )
        left += 15 + _CHARACTER * len(name) + 14
    return "".join(parts)


def _area(floor: Values, ceiling: Values, base: int) -> str:
    """Return a stepped band; runs of equal bins are one line, empty ones none."""
    scale = (WIDTH - _LEFT - _RIGHT) / len(floor)
    parts, index = [], 0
    steps = np.round(np.stack([floor, ceiling]) * _HIGH, 1)
    while index < len(floor):
        low, high = steps[:, index]
        run = index + 1
        while run < len(floor) and steps[0, run] == low and steps[1, run] == high:
            run += 1
        if high > low:
            x, y = _LEFT + index * scale, base - high
            parts.append(
                f"M{x:.1f} {y:.1f}h{(run - index) * scale:.1f}v{high - low:.1f}h{-(run - index) * scale:.1f}z"
            )
        index = run
    return "".join(parts)


def _grid(end_ns: int, bottom: int) -> str:
    scale = (WIDTH - _LEFT - _RIGHT) / end_ns
    parts = []
    for tick in ticks(end_ns):
        x = _LEFT + tick * scale
        parts.append(
            f'<path d="M{x:.1f} {_TOP + _GAP}V{bottom + 4}" stroke="currentColor" stroke-opacity="0.16"/>'
            f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle" {_FONT} opacity="0.75">'
            f"{duration(tick) if tick else '0'}</text>"
        )
    return "".join(parts)


def ticks(end_ns: int, about: int = 8) -> Sequence[int]:
    """Return round points of a time axis.

    Examples
    --------
    >>> ticks(1_000_000_000)[:3]
    [0, 100000000, 200000000]
    """
    raw = end_ns / about
    power = 10 ** math.floor(math.log10(max(raw, 1)))
    step = min((power * factor for factor in (1, 2, 5, 10)), key=lambda size: abs(size - raw))
    return list(range(0, end_ns + 1, max(int(step), 1)))


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _svg(height: int, body: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="100%" '
        'role="img" aria-label="timeline" style="max-width:1280px;min-width:640px;margin-bottom:12px">'
        f"{''.join(body)}</svg>"
    )
