"""One operator's time and work, in the same layout for every backend."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .entry import backend_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


@dataclass(frozen=True)
class Operator:
    """What one operator of a graph took in one pass.

    Parameters
    ----------
    name, kind
        As the backend calls it after its own fusions.
    seconds
        Of one pass: the median over the repeats, so that a process that was put aside once does not count; where
        equal calls are one row, the sum of theirs.
    flops
        Floating-point or integer operations (a multiply-add counts two); None where shapes are not told.
    bytes
        Read and written if every tensor moves once; None where shapes are not told.
    akin
        Names of the operators that were fused into it, then of those that read what it gives; the nearest first.
    calls
        How often it runs in a pass: once, but where equal calls are one row.
    """

    name: str
    kind: str
    seconds: float
    flops: float | None = None
    bytes: float | None = None
    akin: tuple[str, ...] = ()
    calls: float = 1.0

    @property
    def intensity(self) -> float | None:
        """Operations a byte."""
        return self.flops / self.bytes if self.flops and self.bytes else None


def operator_times(
    compiled: Path, feeds: Mapping[str, Array], threads: int = 1, repeats: int = 20
) -> list[Operator]:
    """Run a compiled folder under its backend's profiler; return its operators, the slowest first.

    Raises
    ------
    InputError
        If the backend has no profiler of its own.
    CorruptArtifact, MissingDependency
        As loading does.
    """
    name = backend_of(compiled)
    known = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent / "profilers")])]
    if name not in known:
        raise InputError(
            f"the backend {name!r} tells no time by operator",
            where=str(compiled),
            fix=f"%mlops profile sees functions; by operator: {', '.join(sorted(known))}",
        )
    profile = importlib.import_module(f"{__package__}.profilers.{name}").profile
    return sorted(profile(compiled, feeds, threads, repeats), key=lambda one: -one.seconds)
