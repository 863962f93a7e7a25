"""What a sweep tries: schemes times backends, and on which parts of the evaluation data."""

from __future__ import annotations

from dataclasses import dataclass

from ... import codec
from ...compile import CompileConfig
from ...errors import InputError
from ...quantize import QuantizeConfig
from ..auto.contenders import suited
from ..callables import CallableReference
from ..recipe import Recipe
from ..steps.compile import CompileStep
from ..steps.quantize import QuantizeStep
from ..steps.score import ScoreStep

BASELINE = "fp32 (eager)"
AUTO = "auto"


@codec.register("sweep_plan")
@dataclass(frozen=True)
class SweepPlan:
    """A sweep, as data: the same plan resumes.

    Parameters
    ----------
    program
        Digest of the captured program.
    trials
        Keys ``scheme/backend``.
    evaluate
        The user's measure.
    max_drop
        The gate; None for none.
    calibration
        Digest of the calibration batches, empty for none.
    rungs
        Shares of the evaluation data, rising, the last one 1.
    eta
        See :func:`~workbench.pipeline.sweep.halving.stops`.
    threads
        Threads of the sessions.
    executor
        Where trials run.
    base
        What variants are called after.
    """

    program: str
    trials: tuple[str, ...]
    evaluate: CallableReference
    max_drop: float | None = None
    calibration: str = ""
    rungs: tuple[float, ...] = (1.0,)
    eta: int = 3
    threads: int = 1
    executor: str = "local"
    base: str = ""

    def build(self, key: str) -> Recipe:
        """Return the recipe that makes a trial's compiled artifact."""
        scheme, _, backend = key.partition("/")
        searches = scheme == "mixed"  # it looks for formats by score: it needs the measure itself
        quantize = QuantizeStep(
            program=self.program,
            config=QuantizeConfig(scheme=scheme),
            calibration=self.calibration,
            evaluate=self.evaluate if searches else None,
            max_drop=self.max_drop if searches else None,
            threads=self.threads,
        )
        config = CompileConfig(backend=backend, threads=self.threads)
        return Recipe((quantize, CompileStep(program="step:0", config=config)))

    def score(self, compiled: str, fraction: float) -> Recipe:
        """Return the recipe that scores an artifact; empty for the program itself."""
        step = ScoreStep(self.program, self.evaluate, compiled, fraction, self.threads)
        return Recipe((step,))


def trials_of(schemes: tuple[str, ...], backends: tuple[str, ...]) -> tuple[str, ...]:
    """Return the trials of schemes and backends; ``auto`` is what ``compile --backend auto`` would race it in.

    Raises
    ------
    InputError
        If there is nothing to try, or a scheme is not known.
    UnknownBackend
        If a backend is not.
    """
    from ...compile.base import backend

    for scheme in schemes:
        QuantizeConfig(scheme=scheme)  # raises for an unknown one
    found: list[str] = []
    for scheme in schemes:
        for name in backends:
            if name != AUTO:
                found.append(f"{scheme}/{backend(name).name}")
                continue
            found += [f"{scheme}/{one}" for one in suited(QuantizeConfig(scheme=scheme))]
    if not found:
        raise InputError("there is nothing to try", where="sweep", fix="--scheme int8,int4 --backend auto")
    return tuple(dict.fromkeys(found))
