"""What a quantization should do, as a record: the parameters of one recipe step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from workbench.codec import register
from workbench.errors import InputError

Mode = Literal["auto", "static", "dynamic"]
Calibrator = Literal["minmax", "percentile", "entropy"]


@register("quantize_config")
@dataclass(frozen=True)
class QuantizeConfig:
    """How to quantize a program.

    Parameters
    ----------
    scheme
        A file of ``quantize/schemes``: ``int8``, or ``none`` (the reference).
    mode
        ``static``: activations on calibrated grids; ``dynamic``: on grids found at each call;
        ``auto``: what suits each layer, given the calibration data there is.
    calibrator
        How a range is taken from the observed values: their ``minmax``, a two-sided ``percentile``, or
        the clipping of least relative ``entropy``.
    percentile
        Share of values in percent that lies inside the range (calibrator ``percentile``).
    skip
        Glob patterns of layer names to leave as they are, such as ``"head.*"``.
    keep_first, keep_last
        How many layers at either end to leave as they are.
    reduce_range
        7-bit weights: for x86 CPUs without VNNI, whose integer multiply-add saturates at 16 bits.
    seed
        Picks the calibration batches on which the output error is measured.

    Raises
    ------
    InputError
        If a value is out of its range.

    Examples
    --------
    >>> QuantizeConfig(mode="static", skip=("head",)).calibrator
    'minmax'
    """

    scheme: str = "int8"
    mode: Mode = "auto"
    calibrator: Calibrator = "minmax"
    percentile: float = 99.99
    skip: tuple[str, ...] = ()
    keep_first: int = 0
    keep_last: int = 0
    reduce_range: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, allowed in (("mode", get_args(Mode)), ("calibrator", get_args(Calibrator))):
            if getattr(self, name) not in allowed:
                raise InputError(
                    f"{name} is {getattr(self, name)!r}",
                    where=f"quantize, {name}",
                    fix=f"one of: {', '.join(allowed)}",
                )
        if not 50 < self.percentile <= 100:
            raise InputError(
                f"percentile is {self.percentile}", where="quantize, percentile", fix="above 50, at most 100"
            )
        if self.keep_first < 0 or self.keep_last < 0:
            raise InputError("keep_first and keep_last count layers", where="quantize", fix="0 or more")
