"""What a search for mixed precision scored on its way."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.codec import register


@register("mixed_point")
@dataclass(frozen=True)
class MixedPoint:
    """One program that was scored.

    Parameters
    ----------
    label
        What it is: ``all ternary``, or how many layers have each format.
    size_bytes
        Of its layers' weights.
    score
        By the user's measure.
    passes
        Whether it scores well enough.
    chosen
        Whether it is the one that was taken.
    """

    label: str
    size_bytes: int
    score: float
    passes: bool
    chosen: bool = False
