"""The compiled C told to note the time after every call: the functions of ``mlops_model.c``, one an operator."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from ...errors import InputError
from ..emit.loader import NativeRunner
from ..emit.text import SOURCE_FILE
from ..operator_times import Operator

_WARM = 3
_FUNCTION = re.compile(
    r"/\* (?:module '(.*?)'|the module itself): (\S+) -> .*? \[(\w+)\] \*/\nOPERATOR void (\w+)\("
)
_CALL = re.compile(r"^    (\w+)\(.*\);\n(?:    if \(failure\).*\n)?    mark\(", re.MULTILINE)


def profile(compiled: Path, feeds: Mapping[str, Any], threads: int, repeats: int) -> list[Operator]:
    """Return the functions of ``model.so``, called after the module and the operator they come from.

    Raises
    ------
    InputError
        If it was compiled before the code could tell times.
    """
    runner = NativeRunner(compiled, threads)
    named = list(_functions((compiled / SOURCE_FILE).read_text()))
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


def _functions(source: str) -> Iterator[tuple[str, str]]:
    """Yield ``module/value`` and kind of every function that is marked, in the order of the calls."""
    found = {match[4]: match for match in _FUNCTION.finditer(source)}
    forward = source[source.index("int mlops_forward(") :]
    for call in _CALL.findall(forward):
        module, target, node = found[call].groups()[:3]
        yield (
            f"{module or ''}/{node}",
            target.removeprefix("aten.").removeprefix("workbench.").rpartition(".")[0],
        )
