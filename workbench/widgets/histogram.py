"""A histogram you can read off: counts by bin, on a linear or a logarithmic axis."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError
from ..render.svg import Bar, bars
from .live import LiveView


def histogram(labels: Sequence[str], counts: Sequence[int], title: str = "") -> LiveView:
    """Return a histogram as a view.

    Parameters
    ----------
    labels
        One a bin, in order: ``"1 – 2 ms"``.
    counts
        Events in each bin.
    title
        A line above.

    Raises
    ------
    InputError
        If the two differ in length, or a count is negative.

    Examples
    --------
    >>> print(histogram(["1 ms", "2 ms"], [3, 1]).text())
    1 ms ████████████████████ 3 (75 %)
    2 ms ███████              1 (25 %)
    """
    if len(labels) != len(counts) or any(count < 0 for count in counts):
        raise InputError("a histogram needs one count, at least 0, for each bin", where=title or "histogram")
    total, most = sum(counts) or 1, max(counts, default=0) or 1
    rows = [
        Bar(label, count / most, f"{count:,} ({100 * count / total:.3g} %)")
        for label, count in zip(labels, counts, strict=True)
    ]
    data = {"labels": list(labels), "counts": list(counts), "title": title}
    return LiveView("histogram", data, bars(rows, title))
