"""The step ``auto``: a program compiled with every backend and number format; the fastest that passes is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ... import codec
from ...codec import register
from ...compile import CompileConfig
from ...program import ONNX_FILE, read_examples, read_signature
from .. import cache
from ..auto.report import best_table, facts, rows_table
from ..callables import CallableReference
from ..context import StepContext
from ..evaluation import one_item
from ..recipe import step_body
from ..result import Measured, StepResult, table_json
from .compile import CompileStep, keep
from .quantize import QuantizeStep

if TYPE_CHECKING:
    from ..auto.contenders import Contender

LIKENESS_DROP = 1.0
"""Points of cosine that may be lost where the user gave no measure."""
_BATCHES = 8
"""Calibration batches that likeness is measured on."""


@register("auto_step")
@dataclass(frozen=True)
class AutoStep:
    """Find the fastest way to run a program.

    Parameters
    ----------
    program
        The program or variant.
    calibration
        Data artifact with a list of batches; empty for the captured inputs.
    evaluate, max_drop
        The gate. Without a measure: 100 times the mean cosine of the outputs to eager's, one point may be lost.
    backends
        Those to try, or single formats of one (``int8-static/openvino``); empty for all that can run here.
    budget_s
        Seconds the search may take; what is running when they end is given up.
    threads
        Of the sessions that are compared.
    machine
        The processor the result is for.
    name
        What to call the compiled artifact.
    """

    verb: ClassVar[str] = "auto"
    inputs: ClassVar[tuple[str, ...]] = ("program", "calibration")
    code: ClassVar[tuple[str, ...]] = (
        "quantize",
        "compile",
        "kernels",
        "pipeline/auto",
        "pipeline/steps/auto.py",
    )
    stays: ClassVar[str] = "it measures this machine"

    program: str
    calibration: str = ""
    evaluate: CallableReference | None = None
    max_drop: float | None = None
    backends: tuple[str, ...] = ()
    budget_s: float = 120.0
    threads: int = 1
    machine: str = ""
    name: str = ""


@step_body(AutoStep)
def auto(step: AutoStep, context: StepContext) -> StepResult:
    """Search, and store the winner with the variant it was compiled from."""
    from ..auto.contenders import contenders
    from ..auto.search import Search
    from ..auto.team import Team

    program = context.input(step.program)
    quantized = context.manifest(step.program).kind == "variant"
    found, absent = contenders(
        quantized=quantized, onnx=(program / ONNX_FILE).exists(), only=_asked(step.backends)
    )
    scratch, variants = context.folder(), _Variants(step, context, program)
    with Team(step.threads, scratch / "workers.log") as team:
        search = Search(
            team,
            variants.folder,
            context.folder,
            _feeds(program, scratch),
            _measure(step, context, program, variants, scratch),
            LIKENESS_DROP if step.max_drop is None else step.max_drop,
            step.threads,
            step.budget_s,
            context.stage,
        )
        best, baseline = search.run(found)
    return _kept(step, context, variants, best, baseline, [*found, *absent])


def _asked(backends: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(("eager", *backends))) if backends else ()


class _Variants:
    """The program in each number format that was asked for, made once."""

    def __init__(self, step: AutoStep, context: StepContext, program: Path) -> None:
        self._step, self._context, self._program = step, context, program
        self._made: dict[str, Path | Exception] = {"none": program}

    def batches(self) -> list[Any]:
        """Return the calibration data: what was given, else the captured inputs."""
        if self._step.calibration:
            return list(self._context.data(self._step.calibration))
        return [dict(read_examples(self._program).inputs)]

    def folder(self, scheme: str) -> Path:
        """Return the variant's folder.

        Raises
        ------
        WorkbenchError
            As quantizing did, each time again.
        """
        from ...errors import WorkbenchError
        from ...quantize import quantize_program

        if scheme not in self._made:
            out = self._context.folder()
            try:
                quantize_program(self._program, out, self.config(scheme), calibration=self.batches())
                self._made[scheme] = out
            except WorkbenchError as error:
                self._made[scheme] = error
        made = self._made[scheme]
        if isinstance(made, Exception):
            raise made
        return made

    def config(self, scheme: str) -> Any:
        """Return how a scheme quantizes."""
        from ...quantize.named import NAMED

        return NAMED[scheme]

    def put(self, scheme: str) -> str:
        """Store a variant and return its digest; the program's own for the scheme ``none``."""
        if scheme == "none":
            return self._step.program
        folder, step = self.folder(scheme), self._step
        maker = QuantizeStep(step.program, self.config(scheme), step.calibration, threads=step.threads)
        return self._context.put(
            "variant", folder, step=maker, signature=read_signature(folder), parents=(step.program,)
        )


def _feeds(program: Path, scratch: Path) -> Path:
    """Write the inputs of one call, batch 1 where that can be."""
    feeds = one_item(read_signature(program), read_examples(program).inputs)
    return _write(scratch / "feeds.safetensors", feeds)


def _write(path: Path, arrays: Any) -> Path:
    import numpy
    from safetensors.numpy import save_file

    save_file({name: numpy.asarray(array, order="C") for name, array in arrays.items()}, path)
    return path


def _measure(
    step: AutoStep, context: StepContext, program: Path, variants: _Variants, scratch: Path
) -> dict[str, Any]:
    """Return what workers score by: the user's function, or inputs with the float program's outputs."""
    home, pairs = str(context.store.home.resolve()), []
    if step.evaluate is None:
        from ...compile import reference
        from ...session import bind
        from ...session import to_numpy as numpy_of

        eager = reference(program)
        for number, batch in enumerate(variants.batches()[:_BATCHES]):
            args = batch if isinstance(batch, tuple) else (batch,)
            bound = bind(eager.signature, args, {}, where="calibration")
            feeds = {name: numpy_of(value) for name, value in bound.items()}
            pairs += [
                str(_write(scratch / f"in{number}.safetensors", feeds)),
                str(_write(scratch / f"out{number}.safetensors", eager.run(feeds))),
            ]
    function = None if step.evaluate is None else codec.to_json(step.evaluate)
    return {"home": home, "function": function, "pairs": pairs}


def _kept(
    step: AutoStep,
    context: StepContext,
    variants: _Variants,
    best: Contender,
    baseline: Contender,
    every: list[Contender],
) -> StepResult:
    """Store the winner as what compiling its variant makes, and return the tables."""
    maker = CompileStep(variants.put(best.scheme), CompileConfig(best.backend, threads=step.threads))
    kept = keep(maker, context, Path(best.folder), best.report)
    context.store.runs.refer(context.run_id, context.position, "chosen from", maker.program)
    cache.remember(context.store, maker, kept)
    against = f"the program in torch eager, {step.threads} thread(s), batch 1, interleaved"
    assert best.ratio is not None, "only who was raced is picked"
    return StepResult(
        kept.output,
        metrics=kept.metrics,
        measured=(
            Measured("latency_ratio", 1 / best.ratio, "ratio", against),
            Measured("latency_ms", best.latency_ms or 0.0, "ms"),
            *((Measured("score", best.score, "points"),) if best.score is not None else ()),
        ),
        tables=(
            table_json(best_table(best, baseline, step.threads)),
            table_json(rows_table(every)),
        ),
        details={
            "backend": best.backend,
            "scheme": best.scheme,
            "speedup": best.ratio,
            "contenders": facts(every),
        },
    )
