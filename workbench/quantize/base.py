"""The scheme seam: a scheme is one file in ``schemes/`` whose ``apply`` rewrites a program.

Schemes are found by file name, so a new one (int4, ternary) is one new file and no other change::

    # schemes/mine.py
    def apply(program: ExportedProgram, request: Request) -> Outcome: ...
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.errors import QuantizeError
from workbench.types import Signature

from . import schemes
from .config import QuantizeConfig
from .points import MixedPoint
from .report import LayerRow, SkippedLayer

if TYPE_CHECKING:
    from torch.export import ExportedProgram

Progress = Callable[[float, str], None]
"""Called with the share done (0..1) and what is being done."""


@dataclass(frozen=True)
class Request:
    """What a scheme is asked to do.

    `calibration` is an iterable of batches, or None; `score` scores a program by the user's measure, `max_drop` is
    what it may lose: both None where nobody asked.
    """

    config: QuantizeConfig
    signature: Signature
    calibration: Any
    progress: Progress
    score: Callable[[ExportedProgram], float] | None = None
    max_drop: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What a scheme did: the new program and the rows of its report."""

    program: ExportedProgram
    layers: tuple[LayerRow, ...] = ()
    skipped: tuple[SkippedLayer, ...] = ()
    calibration_batches: int = 0
    points: tuple[MixedPoint, ...] = ()


Scheme = Callable[["ExportedProgram", Request], Outcome]


def scheme(name: str) -> Scheme:
    """Return a scheme by name.

    Raises
    ------
    QuantizeError
        If there is none of this name; lists those there are.
    """
    known = sorted(m.name for m in pkgutil.iter_modules(schemes.__path__))
    if name not in known:
        raise QuantizeError(
            f"no quantization scheme {name!r}", where="--scheme", fix=f"one of: {', '.join(known)}"
        )
    apply: Scheme = importlib.import_module(f"{schemes.__name__}.{name}").apply
    return apply
