"""The step ``quantize``: a program becomes a variant, judged by the user's own measure."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ...codec import register
from ...program import read_examples, read_signature
from ...quantize import QuantizeConfig
from ...render.table import Table
from ..callables import CallableReference
from ..context import StepContext
from ..evaluation import Latency, compare_latency, evaluate, one_item
from ..recipe import step_body
from ..result import Measured, StepResult, table_json

if TYPE_CHECKING:
    from ...quantize import QuantizeReport
    from ...session import Session

_WORST = 3


@register("quantize_step")
@dataclass(frozen=True)
class QuantizeStep:
    """Quantize a program.

    Parameters
    ----------
    program
        The captured program.
    config
        Scheme and its parameters.
    calibration
        Data artifact with a list of batches, empty for none.
    evaluate
        Called with a session, returns a number, higher is better; None to judge nothing.
    max_drop
        Refuse a candidate that scores lower than the baseline by more than this.
    threads
        Threads of the compared sessions.
    name
        What to call the variant.
    """

    verb: ClassVar[str] = "quantize"
    inputs: ClassVar[tuple[str, ...]] = ("program", "calibration")
    code: ClassVar[tuple[str, ...]] = (
        "quantize",
        "compile",
        "pipeline/steps/quantize.py",
        "pipeline/evaluation.py",
    )

    program: str
    config: QuantizeConfig = field(default_factory=QuantizeConfig)
    calibration: str = ""
    evaluate: CallableReference | None = None
    max_drop: float | None = None
    threads: int = 1
    name: str = ""


@dataclass(frozen=True)
class _Judged:
    """Scores (None without an evaluation function) and latency of the candidate beside the baseline."""

    baseline: float | None
    candidate: float | None
    latency: Latency
    backend: str


@step_body(QuantizeStep)
def quantize(step: QuantizeStep, context: StepContext) -> StepResult:
    """Quantize, judge, and store the variant unless the gate refuses it."""
    from ...quantize import quantize_program

    program, out = context.input(step.program), context.folder()
    batches = context.data(step.calibration) if step.calibration else None
    report = quantize_program(
        program,
        out,
        step.config,
        calibration=batches,
        progress=lambda share, text: context.progress(text, share * 0.6),
    )
    judged = _judge(step, context, program, out)
    _gate(step, report, judged)
    metrics = _metrics(report, judged)
    digest = context.put(
        "variant",
        out,
        signature=read_signature(out),
        parents=(step.program,),
        data={"calibration": step.calibration} if step.calibration else {},
        metrics=metrics,
    )
    return StepResult(
        digest,
        metrics=metrics,
        measured=_measured(step, judged),
        tables=(table_json(_summary(step, report, judged)), table_json(report.table(_WORST))),
        details={"latency_ratio": judged.latency.ratio, "backend": judged.backend},
    )


def _judge(step: QuantizeStep, context: StepContext, program: Path, variant: Path) -> _Judged:
    import torch

    torch.set_num_threads(step.threads)
    context.progress("lowering", 0.65)
    baseline = _session(context, program, "eager", step.threads)
    candidate, backend = _lowered(context, variant, step.threads)
    scores: list[float | None] = [None, None]
    if step.evaluate is not None:
        function = context.function(step.evaluate)
        for index, (session, what) in enumerate(((baseline, "fp32"), (candidate, step.config.scheme))):
            context.progress(f"evaluating {what}", 0.7 + 0.12 * index)
            scores[index] = evaluate(function, session)
    context.progress("measuring latency", 0.94)
    feeds = one_item(baseline.signature, read_examples(program).inputs)
    return _Judged(scores[0], scores[1], compare_latency(baseline, candidate, feeds), backend)


def _session(context: StepContext, folder: Path, backend: str, threads: int) -> Session:
    from ...compile import CompileConfig, compile_program, load

    out = context.folder()
    compile_program(folder, out, CompileConfig(backend=backend, threads=threads))
    return load(out, threads=threads)


def _lowered(context: StepContext, variant: Path, threads: int) -> tuple[Session, str]:
    """Return the candidate as it will be served: in onnxruntime, or in eager where that cannot run."""
    from ...compile.base import backend

    name = "onnxruntime" if backend("onnxruntime").available() is None else "eager"
    return _session(context, variant, name, threads), name


def _gate(step: QuantizeStep, report: QuantizeReport, judged: _Judged) -> None:
    from ...quantize.audit import audit

    if step.max_drop is not None and judged.baseline is not None and judged.candidate is not None:
        audit(
            report,
            baseline=judged.baseline,
            candidate=judged.candidate,
            max_drop=step.max_drop,
            latency_ratio=judged.latency.ratio,
        )


def _metrics(report: QuantizeReport, judged: _Judged) -> dict[str, float]:
    metrics = {"quantized_share": report.share, "size_ratio": report.size_ratio}
    if judged.baseline is not None and judged.candidate is not None:
        metrics |= {
            "score": judged.candidate,
            "baseline_score": judged.baseline,
            "drop": judged.baseline - judged.candidate,
        }
    return metrics


def _measured(step: QuantizeStep, judged: _Judged) -> tuple[Measured, ...]:
    against = f"fp32 in torch eager, {step.threads} thread(s), batch 1, interleaved"
    return (
        Measured("latency_ratio", judged.latency.ratio, "ratio", against),
        Measured("latency_ms", judged.latency.candidate_ms, "ms"),
    )


def _summary(step: QuantizeStep, report: QuantizeReport, judged: _Judged) -> Table:
    score = step.evaluate.target.rpartition(":")[2] if step.evaluate else "score"
    latency, drop = judged.latency, None
    if judged.baseline is not None and judged.candidate is not None:
        drop = judged.candidate - judged.baseline
    rows = (
        (score, judged.baseline, judged.candidate, drop),
        ("weights MB", report.bytes_before / 1e6, report.bytes_after / 1e6, f"{report.size_ratio:.2f}x"),
        ("latency ms", latency.baseline_ms, latency.candidate_ms, f"{latency.ratio:.2f}x"),
    )
    return Table(
        ("", "fp32", step.config.scheme, "change"),
        rows if step.evaluate else rows[1:],
        note=f"latency: batch 1, {step.threads} thread(s), fp32 in torch eager, {step.config.scheme} in "
        f"{judged.backend}, interleaved, median",
    )
