"""Collapsed stacks: ``outermost;...;innermost count``, the text every flame graph tool reads."""

from __future__ import annotations

from collections import defaultdict

from ..attribution import label
from ..costs import weighted_stacks
from ..model import Trace

SUFFIX = ".txt"


def collapsed(trace: Trace) -> str:
    """Return one line a stack, sorted; the number is CPU milliseconds."""
    sums: dict[str, float] = defaultdict(float)
    for stack, seconds in weighted_stacks(trace):
        sums[";".join(label(frame).replace(";", ":") for frame in stack)] += seconds
    return "\n".join(f"{stack} {round(seconds * 1000)}" for stack, seconds in sorted(sums.items()))


def dump(trace: Trace) -> bytes:
    """Return the lines as UTF-8."""
    return (collapsed(trace) + "\n").encode()
