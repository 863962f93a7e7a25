"""The step ``quantize``: a program becomes a variant, judged by the user's own measure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, ClassVar

from ...codec import register
from ...errors import GateRefused
from ...program import read_signature
from ...quantize import QuantizeConfig
from ...quantize.heal import HealConfig
from ...render.table import Table
from ..alternatives import advise
from ..callables import CallableReference
from ..context import StepContext
from ..healing import Trained, evaluation, measure_name, trained
from ..healing import table as healing_table
from ..judge import Judged, judge
from ..recipe import step_body
from ..result import Measured, StepResult, table_json
from .compile import remember

if TYPE_CHECKING:
    from ...quantize import QuantizeReport

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
    heal
        How to train the program for its format first; None to quantize it as it is.
    train
        Data artifact with the training items.
    loss
        Called with an output and a target; None for the default.
    name
        What to call the variant.
    """

    verb: ClassVar[str] = "quantize"
    inputs: ClassVar[tuple[str, ...]] = ("program", "calibration", "train")
    code: ClassVar[tuple[str, ...]] = (
        "quantize",
        "compile",
        "pipeline/steps/compile.py",
        "pipeline/steps/quantize.py",
        "pipeline/judge.py",
        "pipeline/healing.py",
        "pipeline/alternatives.py",
        "pipeline/evaluation.py",
    )

    program: str
    config: QuantizeConfig = field(default_factory=QuantizeConfig)
    calibration: str = ""
    evaluate: CallableReference | None = None
    max_drop: float | None = None
    threads: int = 1
    heal: HealConfig | None = None
    train: str = ""
    loss: CallableReference | None = None
    name: str = ""


@step_body(QuantizeStep)
def quantize(step: QuantizeStep, context: StepContext) -> StepResult:
    """Quantize, judge, and store the variant unless the gate refuses it."""
    from ...quantize import quantize_program

    program, out = context.input(step.program), context.folder()
    batches = context.data(step.calibration) if step.calibration else None
    found = None if step.heal is None else trained(step, context, program)
    report = quantize_program(
        program if found is None else found.program,
        out,
        step.config,
        calibration=batches,
        progress=lambda share, text: context.progress(text, share * 0.6),
        score=evaluation(step.evaluate, context),
        max_drop=step.max_drop,
    )
    judged = judge(
        context, program, out, evaluate=step.evaluate, candidate=step.config.scheme, threads=step.threads
    )
    try:
        _gate(step, report, judged)
    except GateRefused as refusal:
        raise advise(step, context, program, refusal) from None
    metrics = _metrics(report, judged)
    digest = context.put(
        "variant",
        out,
        signature=read_signature(out),
        parents=(step.program,),
        data=_data(step),
        metrics=metrics,
    )
    remember(context, digest, judged.lowered)
    return StepResult(
        digest,
        metrics=metrics,
        measured=_measured(step, judged),
        tables=tuple(table_json(each) for each in _tables(step, report, judged, found)),
        details={
            "latency_ratio": judged.latency.ratio,
            "backend": judged.lowered.config.backend,
            "shares": report.shares(),
            **(found.details() if found else {}),
            **({"pareto": [asdict(point) for point in report.points]} if report.points else {}),
        },
    )


def _tables(step: QuantizeStep, report: QuantizeReport, judged: Judged, found: Trained | None) -> list[Table]:
    shown = [_summary(step, report, judged)]
    if found is not None:
        measure = measure_name(step.evaluate)
        shown.append(healing_table(found, step.config.scheme, judged.candidate, report.size_ratio, measure))
    if report.points and judged.baseline is not None:
        shown.append(report.search_table(judged.baseline))
    return [*shown, report.table(_WORST)]


def _gate(step: QuantizeStep, report: QuantizeReport, judged: Judged) -> None:
    from ...quantize.audit import audit

    if step.max_drop is not None and judged.baseline is not None and judged.candidate is not None:
        audit(
            report,
            baseline=judged.baseline,
            candidate=judged.candidate,
            max_drop=step.max_drop,
            latency_ratio=judged.latency.ratio,
        )


def _data(step: QuantizeStep) -> dict[str, str]:
    """Return the data by role; an evaluation's fingerprint covers the data its function holds."""
    named = {"calibration": step.calibration, "train": step.train}
    data = {role: digest for role, digest in named.items() if digest}
    return data | ({"evaluation": step.evaluate.fingerprint} if step.evaluate else {})


def _metrics(report: QuantizeReport, judged: Judged) -> dict[str, float]:
    metrics = {"quantized_share": report.share, "size_ratio": report.size_ratio}
    if judged.baseline is not None and judged.candidate is not None:
        metrics |= {
            "score": judged.candidate,
            "baseline_score": judged.baseline,
            "drop": judged.baseline - judged.candidate,
        }
    return metrics


def _measured(step: QuantizeStep, judged: Judged) -> tuple[Measured, ...]:
    against = f"fp32 in torch eager, {step.threads} thread(s), batch 1, interleaved"
    return (
        Measured("latency_ratio", judged.latency.ratio, "ratio", against),
        Measured("latency_ms", judged.latency.candidate_ms, "ms"),
    )


def _summary(step: QuantizeStep, report: QuantizeReport, judged: Judged) -> Table:
    score = measure_name(step.evaluate)
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
        f"{judged.lowered.config.backend}, interleaved, median",
    )
