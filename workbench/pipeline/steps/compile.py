"""The step ``compile``: a program or variant becomes what a backend loads, checked against eager."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from ...codec import register
from ...compile import CompileConfig
from ...program import read_signature
from ...render.table import Table
from ..context import StepContext
from ..recipe import step_body
from ..result import StepResult, table_json

if TYPE_CHECKING:
    from ...compile import CompileReport


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
    name
        What to call the compiled artifact.
    """

    verb: ClassVar[str] = "compile"
    inputs: ClassVar[tuple[str, ...]] = ("program",)
    code: ClassVar[tuple[str, ...]] = ("compile", "pipeline/steps/compile.py")

    program: str
    config: CompileConfig = field(default_factory=CompileConfig)
    name: str = ""


@step_body(CompileStep)
def compile_(step: CompileStep, context: StepContext) -> StepResult:
    """Compile into a folder and store it."""
    from ...compile import compile_program

    source, out = context.input(step.program), context.folder()
    report = compile_program(
        source, out, step.config, progress=lambda share, text: context.progress(text, share)
    )
    size_bytes = sum(path.stat().st_size for path in out.iterdir())
    metrics = {"max_abs_error": report.max_abs_error, "bytes": float(size_bytes)}
    digest = context.put(
        "compiled", out, signature=read_signature(out), parents=(step.program,), metrics=metrics
    )
    return StepResult(digest, metrics=metrics, tables=(table_json(_table(step, report, size_bytes)),))


def _table(step: CompileStep, report: CompileReport, size_bytes: int) -> Table:
    rows: tuple[tuple[str, Any], ...] = (
        ("backend", step.config.backend),
        ("MB", size_bytes / 1e6),
        ("max abs error", report.max_abs_error),
    )
    return Table(("compiled", ""), rows, note="error: against torch eager on the captured inputs")
