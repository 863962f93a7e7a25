"""How to heal, as a record: part of one recipe step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workbench.codec import register
from workbench.errors import InputError


@register("heal_config")
@dataclass(frozen=True)
class HealConfig:
    """How to train a program for its format.

    Parameters
    ----------
    cpu_s
        CPU seconds of training. The control is trained for as long again; evaluation is not counted.
    learning_rate
        Of AdamW at its peak: a twentieth of the budget up, then down a cosine.
    distill
        Learn from the float program's outputs too (alone where the data have no targets).
    seed
        Of the order of the data.

    Raises
    ------
    InputError
        If a value is out of its range.

    Examples
    --------
    >>> HealConfig(60).distill
    False
    """

    cpu_s: float
    learning_rate: float = 1e-3
    distill: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in (("cpu_s", self.cpu_s), ("learning_rate", self.learning_rate)):
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} is {value}", where=f"heal, {name}", fix="a number above 0")
