"""What is tried: every available backend with the number formats it is worth measuring in, cheap ones first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import InputError

if TYPE_CHECKING:
    from ...quantize import QuantizeConfig

CHEAP_FIRST = ("eager", "onnxruntime", "openvino", "ternary", "inductor", "tvm")
"""Backends by how long they compile; others come last."""
_QUICK = 3
"""So many of them compile within seconds: all their formats come before any format of the others."""


@dataclass
class Contender:
    """One backend with one number format, and what was found out about it.

    Parameters
    ----------
    backend, scheme
        What it is; a scheme of :data:`workbench.quantize.named.NAMED`.
    folder
        The compiled folder, once there is one.
    compile_s, bytes
        What it cost.
    latency_ms, ratio
        Median of one call; median over rounds of eager's time by its own (higher is faster). None: not raced.
    score
        By the measure; None: not scored.
    verdict
        Why it is, or is not, the one; empty while nobody knows.
    """

    backend: str
    scheme: str
    folder: str = ""
    compile_s: float | None = None
    bytes: int = 0
    report: Any = None
    latency_ms: float | None = None
    ratio: float | None = None
    score: float | None = None
    verdict: str = ""
    rounds: list[float] = field(default_factory=list)

    @property
    def label(self) -> str:
        """Its name in tables: ``int8-static/openvino``."""
        return self.backend if self.scheme == "none" else f"{self.scheme}/{self.backend}"

    @property
    def runs(self) -> bool:
        """Whether it was compiled and nothing has ruled it out."""
        return bool(self.folder) and not self.verdict


def contenders(
    *, quantized: bool, onnx: bool, only: tuple[str, ...] = ()
) -> tuple[list[Contender], list[Contender]]:
    """Return what to try, and what cannot be tried here with the reason as its verdict.

    Parameters
    ----------
    quantized
        Whether the program is quantized already: then it is only compiled.
    onnx
        Whether it came as an ONNX file.
    only
        What to try, backends or single formats of one such as ``int8-static/openvino``; empty for all.

    Raises
    ------
    InputError
        If a backend is not worth measuring in a format that was asked for, or such a program does not take it.
    """
    from ...compile.base import backend, backend_names
    from ...quantize.named import FOR_ONNX_FILES, NAMED

    takes = ("none",) if quantized else FOR_ONNX_FILES if onnx else tuple(NAMED)
    found: list[Contender] = []
    absent: list[Contender] = []
    names = {one.rpartition("/")[2] for one in only} or backend_names()
    for name in sorted(names, key=_cost):
        one = backend(name)
        if missing := one.available():
            absent.append(Contender(name, "none", verdict=f"{missing.what}; {missing.fix}"))
            continue
        known = [scheme for scheme in one.schemes if scheme in takes]
        wanted = _formats(only, name, known)
        found += [Contender(name, scheme) for scheme in known if scheme in wanted]
    return sorted(found, key=_turn), absent


def _formats(only: tuple[str, ...], name: str, known: list[str]) -> set[str]:
    """Return the formats of a backend that were asked for: all, if it was named alone or nothing was."""
    if not only or name in only:
        return set(known)
    asked = {one.rpartition("/")[0] for one in only if one.rpartition("/")[2] == name}
    if unknown := sorted(asked - set(known)):
        raise InputError(
            f"the backend {name!r} is not measured in {', '.join(unknown)}",
            where=name,
            fix=f"its formats: {', '.join(known)}",
        )
    return asked


def suited(config: QuantizeConfig) -> list[str]:
    """Return the backends here that are worth measuring with a number format: what ``auto`` means to a sweep.

    A format that has a name is for the backends that list it, as in :func:`contenders`; one without (ternary, mixed)
    for onnxruntime, which takes any, and for the backend that is called after it.
    """
    from ...compile.base import backend, backend_names
    from ...quantize.named import NAMED

    names = {name for name, named in NAMED.items() if named == config}
    here = [one for one in map(backend, sorted(backend_names(), key=_cost)) if one.available() is None]
    return [
        one.name
        for one in here
        if not one.reference
        and (names & set(one.schemes) if names else one.name in ("onnxruntime", config.scheme))
    ]


def _turn(one: Contender) -> tuple[int, bool, int, int]:
    """Return when a contender is compiled: quick backends, of these float first, and each slow one by itself."""
    from ...quantize.named import NAMED

    cost = _cost(one.backend)
    return (cost if cost >= _QUICK else 0, one.scheme != "none", list(NAMED).index(one.scheme), cost)


def _cost(name: str) -> int:
    return CHEAP_FIRST.index(name) if name in CHEAP_FIRST else len(CHEAP_FIRST)
