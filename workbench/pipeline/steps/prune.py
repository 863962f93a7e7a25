"""The step ``prune``: a program becomes a smaller or sparser program, trained again and judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ...codec import register
from ...errors import GateRefused
from ...program import read_examples, read_signature
from ...quantize import QuantizeConfig
from ...quantize.heal import HealConfig, Task
from ...quantize.prune import PruneConfig, PruneReport
from ...render.table import Table
from ...store.blobs import remove_tree
from ..callables import CallableReference
from ..context import StepContext
from ..evaluation import Latency, compare_latency, one_item
from ..healing import Teller, Trained, enough, evaluation, measure_name, write_trained
from ..healing import table as healing_table
from ..judge import Lowered, lower
from ..recipe import step_body
from ..result import Measured, StepResult, table_json
from .compile import remember

if TYPE_CHECKING:
    from ...quantize.prune import Pruned

_SHOWN = 8


@register("prune_step")
@dataclass(frozen=True)
class PruneStep:
    """Prune a program.

    Parameters
    ----------
    program
        The captured program.
    config
        What to remove.
    evaluate, max_drop, threads
        The gate, as for quantizing.
    heal, train, loss
        How to train what is left; None to leave it as it is.
    name
        What to call the new program.
    """

    verb: ClassVar[str] = "prune"
    inputs: ClassVar[tuple[str, ...]] = ("program", "train")
    code: ClassVar[tuple[str, ...]] = (
        "quantize",
        "compile",
        "pipeline/steps/compile.py",
        "pipeline/steps/prune.py",
        "pipeline/judge.py",
        "pipeline/healing.py",
        "pipeline/evaluation.py",
    )

    program: str
    config: PruneConfig = field(default_factory=PruneConfig)
    evaluate: CallableReference | None = None
    max_drop: float | None = None
    threads: int = 1
    heal: HealConfig | None = None
    train: str = ""
    loss: CallableReference | None = None
    name: str = ""


@dataclass(frozen=True)
class _Judged:
    """Both programs as they are served: scores (None without a measure) and latency."""

    before: float | None
    after: float | None
    latency: Latency
    lowered: Lowered


@step_body(PruneStep)
def prune(step: PruneStep, context: StepContext) -> StepResult:
    """Prune, train what is left, judge, and store the program unless the gate refuses it."""
    import torch

    from ...quantize.prune import prune_program

    torch.set_num_threads(step.threads)
    program, naive = context.input(step.program), context.folder()
    context.stage("pruning", 0.0)
    pruned = prune_program(program, naive, step.config)
    found = None if step.heal is None else _recover(step, context, program, naive, pruned)
    out = naive if found is None else found.program
    judged = _judge(step, context, program, out)
    _gate(step, pruned.report, judged)
    metrics = _metrics(pruned.report, judged)
    data = {"train": step.train} if step.train else {}
    data |= {"evaluation": step.evaluate.fingerprint} if step.evaluate else {}
    digest = context.put(
        "program", out, signature=read_signature(out), parents=(step.program,), data=data, metrics=metrics
    )
    remember(context, digest, judged.lowered)
    return StepResult(
        digest,
        metrics=metrics,
        measured=(
            Measured("latency_ratio", judged.latency.ratio, "ratio", _against(step, judged)),
            Measured("latency_ms", judged.latency.candidate_ms, "ms"),
        ),
        tables=tuple(table_json(each) for each in _tables(step, pruned.report, judged, found)),
        details={
            "latency_ratio": judged.latency.ratio,
            "backend": judged.lowered.config.backend,
            **(found.details() if found else {}),
        },
    )


def _recover(step: PruneStep, context: StepContext, program: Path, naive: Path, pruned: Pruned) -> Trained:
    """Train what is left; an interrupted step goes on where it stood."""
    from ...compile import reference
    from ...quantize.heal import recover
    from ...quantize.prune.entry import write_pruned

    assert step.heal is not None, "the step was asked to heal"
    score = evaluation(step.evaluate, context)
    given, rough = (None if score is None else score(reference(p, step.threads)) for p in (program, naive))
    folder = context.resumable()
    task = Task(
        QuantizeConfig("none"),
        step.heal,
        context.data(step.train),
        None if step.loss is None else context.function(step.loss),
        score,
        enough(step.max_drop, given),
        Teller(context, step.heal),
    )
    healed = recover(program, pruned.program, pruned.kept, task, folder)
    remove_tree(folder)
    out, control = context.folder(), context.folder()
    write_pruned(program, healed.program, pruned.report, out)
    write_trained(program, healed.control, control)
    return Trained(
        out, healed, given, rough, None if score is None else score(reference(control, step.threads))
    )


def _judge(step: PruneStep, context: StepContext, program: Path, out: Path) -> _Judged:
    """Score and time both as they will be served: what pruning gains must not hide behind a change of backend."""
    context.stage("lowering", 0.6)
    baseline, candidate = (lower(context, folder, step.threads) for folder in (program, out))
    before = after = None
    if (score := evaluation(step.evaluate, context)) is not None:
        context.stage("evaluating", 0.8)
        before, after = score(baseline.session), score(candidate.session)
    context.stage("measuring latency", 0.94)
    feeds = one_item(baseline.session.signature, read_examples(program).inputs)
    return _Judged(before, after, compare_latency(baseline.session, candidate.session, feeds), candidate)


def _gate(step: PruneStep, report: PruneReport, judged: _Judged) -> None:
    if step.max_drop is None or judged.before is None or judged.after is None:
        return
    drop = judged.before - judged.after
    if drop <= step.max_drop:
        return
    fewer = f"--amount {step.config.share / 2:.2g}" if step.config.method != "nm" else "--pattern 3:4"
    options = [fewer] if step.heal else ["--heal 60s --train LOADER", fewer]
    raise GateRefused(
        f"the gate refused to prune: score {judged.before:.4f} -> {judged.after:.4f}, a drop of {drop:.4f} where "
        f"{step.max_drop:.4f} is allowed ({report.size_ratio:.2f}x the parameters, {report.sparsity:.0%} of them "
        f"zero, {judged.latency.ratio:.2f}x the latency)",
        where=f"prune, {step.config.method}",
        fix=", or ".join([*options, "a larger --max-drop if the loss is acceptable"]),
        baseline=judged.before,
        candidate=judged.after,
        drop=drop,
        max_drop=step.max_drop,
        size_ratio=report.size_ratio,
        latency_ratio=judged.latency.ratio,
    )


def _metrics(report: PruneReport, judged: _Judged) -> dict[str, float]:
    metrics = {
        "parameters": float(report.parameters_after),
        "size_ratio": report.size_ratio,
        "flops_ratio": report.flops_ratio,
        "sparsity": report.sparsity,
    }
    if judged.before is not None and judged.after is not None:
        drop = judged.before - judged.after
        metrics |= {"score": judged.after, "baseline_score": judged.before, "drop": drop}
    return metrics


def _against(step: PruneStep, judged: _Judged) -> str:
    return f"as given, {judged.lowered.config.backend}, {step.threads} thread(s), batch 1, interleaved"


def _tables(step: PruneStep, report: PruneReport, judged: _Judged, found: Trained | None) -> list[Table]:
    latency, measure = judged.latency, measure_name(step.evaluate)
    rows: list[tuple[str | float | None, ...]] = [
        ("parameters", report.parameters_before, report.parameters_after, f"{report.size_ratio:.2f}x"),
        ("of them zero", 0.0, report.sparsity, None),
        ("operations a call", report.flops_before, report.flops_after, f"{report.flops_ratio:.2f}x"),
        ("latency ms", latency.baseline_ms, latency.candidate_ms, f"{latency.ratio:.2f}x"),
    ]
    if judged.before is not None and judged.after is not None:
        rows.insert(0, (measure, judged.before, judged.after, judged.after - judged.before))
    skips = "" if step.config.method == "channels" else "; no backend here skips a zero, so expect no speed"
    shown = [
        Table(
            ("", "as given", "pruned", "change"),
            rows,
            note=f"latency: batch 1, {step.threads} thread(s), both in {judged.lowered.config.backend}, interleaved,"
            f" median{skips}",
        )
    ]
    if found is not None:
        shown.append(healing_table(found, "pruned", judged.after, report.size_ratio, measure))
    return [*shown, report.table(_SHOWN)]
