"""Machine code one can search: the hot loop marked, the whole function within reach, registers followed."""

from __future__ import annotations

from ..render.listing import Listing
from .live import LiveView

MOST = 1500
"""Lines a notebook keeps; of a longer function, those around the marked ones."""


def assembly_view(listing: Listing) -> LiveView:
    """Return a listing as a view; without a script it is the listing.

    Examples
    --------
    >>> view = assembly_view(Listing("loop", ("mov eax, 1", "add eax, ebx"), (1,)))
    >>> view.data["marked"], view.text().splitlines()[2]
    ([1], '> add eax, ebx')
    """
    low = min(listing.marked, default=0)
    first = max(0, min(low - MOST // 2, len(listing.lines) - MOST))
    lines = list(listing.lines[first : first + MOST])
    marked = [at - first for at in listing.marked if first <= at < first + MOST]
    data = {"title": listing.title, "lines": lines, "marked": marked, "context": listing.context}
    return LiveView("assembly", data, listing)
