"""What a quantization should do, as a record: the parameters of one recipe step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from workbench.codec import register
from workbench.errors import InputError

Mode = Literal["auto", "static", "dynamic", "weights"]
Calibrator = Literal["minmax", "percentile", "entropy"]
Method = Literal["absmean", "twn", "optimal"]
Granularity = Literal["tensor", "row", "group"]
Ends = Literal["int8", "float", "ternary"]
GROUPS = (32, 64, 128, 256)
"""Weights that may share a scale in the scheme ``int4``: every backend with 4-bit weights takes these."""


@register("ternary_config")
@dataclass(frozen=True)
class TernaryConfig:
    """How weights become -1, 0 and 1.

    Parameters
    ----------
    method
        ``absmean``: scale mean|w|, round (BitNet b1.58); ``twn``: threshold 0.7 mean|w|, scale the mean of what
        lies above (ternary weight networks); ``optimal``: threshold and scale of least squared error, in turns.
    granularity
        One scale a ``tensor``, a ``row`` (output channel), or a ``group`` of weights along a row.
    group_size
        Weights a group, along the inputs; a layer whose row is no multiple of it has one scale a row.
    ends
        What the first and the last layer become: ``int8``, ``float``, or ``ternary`` as all others. Embeddings
        ahead of the first other layer all count as first.

    Raises
    ------
    InputError
        If a value is none of those.

    Examples
    --------
    >>> TernaryConfig(granularity="group").group_size
    128
    """

    method: Method = "optimal"
    granularity: Granularity = "row"
    group_size: int = 128
    ends: Ends = "int8"

    def __post_init__(self) -> None:
        _check_choice(self, method=Method, granularity=Granularity, ends=Ends)
        if self.group_size < 4 or self.group_size % 4:
            raise InputError(
                f"group_size is {self.group_size}",
                where="quantize, group_size",
                fix="a multiple of 4, such as 128",
            )


def _check_choice(config: object, **choices: Any) -> None:
    for name, allowed in choices.items():
        if (value := getattr(config, name)) not in get_args(allowed):
            raise InputError(
                f"{name} is {value!r}",
                where=f"quantize, {name}",
                fix=f"one of: {', '.join(get_args(allowed))}",
            )


@register("quantize_config")
@dataclass(frozen=True)
class QuantizeConfig:
    """How to quantize a program.

    Parameters
    ----------
    scheme
        A file of ``quantize/schemes``: ``int8``, ``int4``, ``ternary``, ``mixed``, or ``none`` (the reference).
    mode
        ``static``: activations on calibrated grids; ``dynamic``: on grids found at each call;
        ``auto``: what suits each layer, given the calibration data there is; ``weights``: floats, only the
        weights are integers.
    calibrator
        How a range is taken from the observed values: their ``minmax``, a two-sided ``percentile``, or
        the clipping of least relative ``entropy``.
    percentile
        Share of values in percent that lies inside the range (calibrator ``percentile``).
    skip
        Glob patterns of layer names to leave as they are, such as ``"head.*"``.
    keep_first, keep_last
        How many layers at either end to leave as they are.
    smooth
        Equalize the inputs of linear layers first (scheme ``int8``, calibration data needed): alpha of SmoothQuant
        below 1, such as 0.5; ``"auto"`` for the best alpha or none, activation by activation; 0 for not at all.
    group
        Weights that share a scale in the scheme ``int4``: 32, 64, 128 or 256.
    reduce_range
        7-bit weights: for x86 CPUs without VNNI, whose integer multiply-add saturates at 16 bits.
    ternary
        How weights become ternary (schemes ``ternary`` and ``mixed``).
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
    smooth: float | str = 0.0
    group: int = 32
    reduce_range: bool = False
    seed: int = 0
    ternary: TernaryConfig = TernaryConfig()

    def __post_init__(self) -> None:
        _check_choice(self, mode=Mode, calibrator=Calibrator)
        if not 50 < self.percentile <= 100:
            raise InputError(
                f"percentile is {self.percentile}", where="quantize, percentile", fix="above 50, at most 100"
            )
        if self.keep_first < 0 or self.keep_last < 0:
            raise InputError("keep_first and keep_last count layers", where="quantize", fix="0 or more")
        number = isinstance(self.smooth, int | float) and 0 <= self.smooth < 1
        if not number and self.smooth != "auto":
            raise InputError(
                f"smooth is {self.smooth!r}",
                where="quantize, smooth",
                fix="auto, or from 0 up and below 1: 0.5",
            )
        if self.smooth and (self.scheme != "int8" or self.mode == "weights"):
            raise InputError(
                "only int8 activations are equalized",
                where="quantize, smooth",
                fix="scheme int8, and another mode than weights",
            )
        if self.group not in GROUPS:
            raise InputError(
                f"group is {self.group}",
                where="quantize, group",
                fix=f"one of: {', '.join(map(str, GROUPS))}",
            )
