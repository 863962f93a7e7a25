"""Many variants of one program, tried on an executor: hopeless ones stop early, an interrupted sweep goes on."""

from .halving import Standing, front, stops
from .plan import SweepPlan
from .sweep import Sweep, SweepOutcome

__all__ = ["Standing", "Sweep", "SweepOutcome", "SweepPlan", "front", "stops"]
