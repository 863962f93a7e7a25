"""The step ``compile``: a program or variant becomes what a backend loads, checked against eager."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ...codec import register
from ...compile import CompileConfig
from ...program import read_signature
from ...render.table import Table
from .. import cache
from ..context import StepContext
from ..recipe import step_body
from ..result import StepResult, table_json

if TYPE_CHECKING:
    from ...compile import CompileReport
    from ..judge import Lowered


@register("compile_step")
@dataclass(frozen=True)
class CompileStep:
    """Compile a program or variant.

    Parameters
    ----------
    program
        The program or variant.
    config
        Backend and its parameters.
    records
        Tuning records, for the backend tvm; empty for none.
    name
        What to call the compiled artifact.
    """

    verb: ClassVar[str] = "compile"
    inputs: ClassVar[tuple[str, ...]] = ("program", "records")
    code: ClassVar[tuple[str, ...]] = ("compile", "kernels", "pipeline/steps/compile.py")

    program: str
    config: CompileConfig = field(default_factory=CompileConfig)
    records: str = ""
    name: str = ""


@step_body(CompileStep)
def compile_(step: CompileStep, context: StepContext) -> StepResult:
    """Compile into a folder and store it."""
    from ...compile import compile_program

    source, out = context.input(step.program), context.folder()
    records = context.input(step.records) if step.records else None
    report = compile_program(
        source,
        out,
        step.config,
        progress=lambda share, text: context.progress(text, share),
        records=records,
    )
    made = keep(step, context, out, report)
    return made if records is None else _with_tuning(made, records)


def _with_tuning(made: StepResult, records: Path) -> StepResult:
    from ...compile.relax.records import read_facts
    from .tune import details, table

    facts = read_facts(records)
    tables = (*made.tables, table_json(table(facts)))
    return dataclasses.replace(made, tables=tables, details={**made.details, "tuning": details(facts)})


def keep(step: CompileStep, context: StepContext, out: Path, report: CompileReport) -> StepResult:
    """Store a compiled folder as what `step` makes and return its result."""
    metrics = {"max_abs_error": report.max_abs_error, "bytes": float(report.bytes)}
    signature = read_signature(out)
    digest = context.put(
        "compiled",
        out,
        step=step,
        signature=signature,
        parents=tuple(digest for digest in (step.program, step.records) if digest),
        metrics=metrics,
    )
    return StepResult(
        digest,
        metrics=metrics,
        tables=(table_json(_table(report)),),
        details={"seconds": dict(report.seconds), "backend": report.backend},
    )


def remember(context: StepContext, program: str, lowered: Lowered) -> None:
    """Keep what was judged as the cached result of compiling the program: that is what people type next."""
    step = CompileStep(program, lowered.config)
    result = keep(step, context, lowered.folder, lowered.report)
    context.store.runs.refer(context.run_id, context.position, "judged", result.output)
    cache.remember(context.store, step, result)


def _table(report: CompileReport) -> Table:
    sizes = "; ".join(", ".join(f"{k}={v}" for k, v in case.items()) or "fixed" for case in report.checked)
    rows: tuple[tuple[str, Any], ...] = (
        ("backend", report.backend),
        *((("target", report.target),) if report.target else ()),
        *((name.replace("_", " "), text) for name, text in report.notes.items()),
        ("MB", report.bytes / 1e6),
        ("max abs error", report.max_abs_error),
        ("tolerance", f"{report.tolerance_abs:.3g} + {report.tolerance_rel:.3g} x peak"),
        ("checked at", sizes),
    )
    return Table(("compiled", ""), rows, note="error: against torch eager, on captured inputs")
