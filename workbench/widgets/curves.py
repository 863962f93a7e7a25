"""Curves or points one can read off: losses of healing, scores of a search for formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import InputError
from ..render.lines import Axes, lines
from .live import LiveView

Point = tuple[float, float] | tuple[float, float, str]
"""Of a curve: x, y, and what to call it."""


def curves(series: Mapping[str, Sequence[Point]], axes: Axes, title: str = "") -> LiveView:
    """Return curves (joined) or points (not joined) over a common x as a view.

    Parameters
    ----------
    series
        By name, in the order of their colours.
    axes
        What x and y mean.
    title
        A line above.

    Raises
    ------
    InputError
        If there is not a single point.

    Examples
    --------
    >>> print(curves({"loss": [(0, 2.0), (1, 1.5), (2, 1.0)]}, Axes("s", "loss"), "training").text())
    training: loss over s
    loss  █▅▁  2 -> 1
    """
    kept = {name: [list(point) for point in points] for name, points in series.items() if points}
    if not kept:
        raise InputError("there is no point to draw", where=title or "curves")
    plain = {name: [(point[0], point[1]) for point in points] for name, points in series.items()}
    data = {
        "series": kept,
        "title": title,
        "x": axes.x,
        "y": axes.y,
        "joined": axes.joined,
        "log_y": axes.log_y,
    }
    return LiveView("curves", data, lines(plain, axes, title))
