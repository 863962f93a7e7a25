"""The flame graph as a file of its own."""

from __future__ import annotations

from ..model import Trace
from ..reports.flame import flame_svg

SUFFIX = ".svg"


def dump(trace: Trace) -> bytes:
    """Return the flame graph of CPU time; text is black, as a page of its own is white."""
    return (flame_svg(trace).replace("<svg ", '<svg color="#111" ', 1) + "\n").encode()
