"""A candidate beside its program: both made ready to run, scored by the user's measure, timed in turns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..compile import CompileConfig, CompileReport
from ..errors import CompileError, NumericalMismatch
from ..program import read_examples
from .callables import CallableReference
from .context import StepContext
from .evaluation import Latency, compare_latency, one_item, score

if TYPE_CHECKING:
    from ..session import Session


@dataclass(frozen=True)
class Lowered:
    """A program compiled for a backend, and loaded."""

    session: Session
    folder: Path
    config: CompileConfig
    report: CompileReport


@dataclass(frozen=True)
class Judged:
    """What was found.

    Parameters
    ----------
    baseline, candidate
        Scores of the program in torch eager and of the candidate; None without an evaluation function.
    latency
        Of one item, candidate beside baseline.
    lowered
        The candidate as it was judged.
    """

    baseline: float | None
    candidate: float | None
    latency: Latency
    lowered: Lowered


def judge(
    context: StepContext,
    program: Path,
    variant: Path,
    *,
    evaluate: CallableReference | None,
    candidate: str,
    threads: int,
) -> Judged:
    """Run a program in torch eager and its variant in the backend that will serve it, and compare.

    Parameters
    ----------
    context
        The step that asks.
    program, variant
        Their folders.
    evaluate
        The user's measure, called with each session; None for latency only.
    candidate
        What to call the variant in progress messages.
    threads
        Of both sessions.

    Raises
    ------
    EvaluationFailed
        If the user's measure raises or gives no number.
    NumericalMismatch
        If the variant's outputs differ between torch eager and the backend, and no measure says how good either
        is. With one, it is judged in torch eager: a network that rounding destroyed amplifies any difference.
    """
    import torch

    from ..compile import reference

    torch.set_num_threads(threads)
    context.stage("lowering", 0.65)
    try:
        lowered = lower(context, variant, threads)
    except NumericalMismatch:
        if evaluate is None:
            raise
        context.stage("onnxruntime and torch eager differ: judging it in torch eager", 0.65)
        lowered = lower(context, variant, threads, "eager")
    except CompileError as error:
        if error.fields.get("dtype") != "bfloat16":
            raise
        context.stage("onnxruntime does not compute in bfloat16: judging it in torch eager", 0.65)
        lowered = lower(context, variant, threads, "eager")
    baseline = reference(program, threads)
    before = after = None
    if evaluate is not None:
        function = context.function(evaluate)
        context.stage("evaluating the program", 0.8)
        before = score(function, baseline)
        context.stage(f"evaluating {candidate}", 0.87)
        after = score(function, lowered.session)
    context.stage("measuring latency", 0.94)
    feeds = one_item(baseline.signature, read_examples(program).inputs)
    return Judged(before, after, compare_latency(baseline, lowered.session, feeds), lowered)


def _serving_backend() -> str:
    """Return what the candidate will be served by: onnxruntime, or eager where that cannot run."""
    from ..compile.base import backend

    return "onnxruntime" if backend("onnxruntime").available() is None else "eager"


def lower(context: StepContext, folder: Path, threads: int, backend: str = "") -> Lowered:
    """Return a program compiled for a backend: as it will be served, unless another is named."""
    from ..compile import compile_program, load

    out, config = context.folder(), CompileConfig(backend=backend or _serving_backend(), threads=threads)
    report = compile_program(folder, out, config)
    return Lowered(load(out, threads=threads), out, config, report)
