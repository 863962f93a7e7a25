"""The compiled C told to note the time after every call: the functions of ``mlops_model.c``, one an operator."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from ...errors import InputError
from ..emit.assembly import Layer, layers
from ..emit.loader import NativeRunner
from ..operator_times import Operator

_WARM = 3


def profile(compiled: Path, feeds: Mapping[str, Any], threads: int, repeats: int) -> list[Operator]:
    """Return the functions of ``model.so``, called after the module and the operator they come from.

    Raises
    ------
    InputError
        If it was compiled before the code could tell times.
    """
    runner = NativeRunner(compiled, threads)
    named = [_named(layer) for layer in layers(compiled)]
    times = (ctypes.c_int64 * (len(named) + 1))()
    try:
        watch = runner.library.mlops_model_watch
    except AttributeError as error:
        raise InputError(
            "this model was compiled before models could tell times",
            where=str(compiled),
            fix="compile it again",
        ) from error
    watch(times)
    taken: list[list[float]] = [[] for _ in named]
    try:
        for number in range(_WARM + repeats):
            runner.run(feeds)
            if number >= _WARM:
                for index, seconds in enumerate(taken):
                    seconds.append((times[index + 1] - times[index]) / 1e9)
    finally:
        watch(None)
    return [Operator(name, kind, median(seconds)) for (name, kind), seconds in zip(named, taken, strict=True)]


def _named(layer: Layer) -> tuple[str, str]:
    """Return ``module/value`` and kind of a function."""
    target, _, rest = layer.what.partition(" -> ")
    node = rest.rpartition(" [")[2].removesuffix("]")
    return f"{layer.path}/{node}", target.removeprefix("aten.").removeprefix("workbench.").rpartition(".")[0]
