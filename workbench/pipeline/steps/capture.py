"""The step ``capture``: a module or an ONNX file becomes a program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ...codec import register
from ...errors import RunError
from ...render.table import Table
from ...session import describe, describe_tensors
from ..callables import CallableReference
from ..context import StepContext
from ..recipe import step_body
from ..result import StepResult, table_json

if TYPE_CHECKING:
    from ...capture import CaptureReport


@register("capture_step")
@dataclass(frozen=True)
class CaptureStep:
    """Capture a model.

    Parameters
    ----------
    factory
        The function that builds the module; None for an ONNX file or a live module of the caller's process.
    file
        Data artifact with the ``.onnx`` file, empty otherwise.
    examples
        Data artifact with one batch of inputs.
    state
        Data artifact with the weights the factory's module loads, empty for none.
    dynamic
        ``auto``, ``none`` or ``input.axis=name,...``.
    preprocess
        Declared preprocessing.
    preprocessing
        What the signature says of it: ``module:function`` or its source text.
    name
        What to call the program.
    """

    verb: ClassVar[str] = "capture"
    inputs: ClassVar[tuple[str, ...]] = ("file", "examples", "state")
    code: ClassVar[tuple[str, ...]] = ("capture", "pipeline/steps/capture.py", "pipeline/data.py")

    factory: CallableReference | None = None
    file: str = ""
    examples: str = ""
    state: str = ""
    dynamic: str = "auto"
    preprocess: CallableReference | None = None
    preprocessing: str = ""
    name: str = ""


@step_body(CaptureStep)
def capture(step: CaptureStep, context: StepContext) -> StepResult:
    """Fill a program folder and store it."""
    out = context.folder()
    context.stage("capturing")
    report = _capture(step, context, out)
    roles = (("examples", step.examples), ("state", step.state), ("file", step.file))
    digest = context.put(
        "program",
        out,
        signature=report.signature,
        data={role: value for role, value in roles if value},
        metrics={"parameters": float(report.parameters), "file_bytes": float(report.bytes)},
    )
    return StepResult(
        digest,
        metrics={"parameters": float(report.parameters), "file_bytes": float(report.bytes)},
        tables=(table_json(_table(report)),),
        details={"seconds": report.seconds, "dynamic": list(report.dynamic)},
    )


def _capture(step: CaptureStep, context: StepContext, out: Path) -> CaptureReport:
    from ...capture import capture_factory, capture_module, capture_onnx

    if step.file:
        return capture_onnx(next(context.input(step.file).glob("*.onnx")), out)
    examples = context.data(step.examples)
    if context.live is not None:
        return capture_module(
            context.live, examples, out, dynamic=step.dynamic, preprocessing=step.preprocessing
        )
    if step.factory is None:
        raise RunError(
            "the captured module lived in the notebook's process and is gone",
            where=context.run_id,
            fix="run the cell with %mlops capture again",
        )
    weights = (
        next(path for path in context.input(step.state).iterdir() if path.name != "manifest.json")
        if step.state
        else None
    )
    return capture_factory(
        context.function(step.factory),
        examples,
        out,
        state=weights,
        dynamic=step.dynamic,
        preprocessing=step.preprocessing,
    )


def _table(report: CaptureReport) -> Table:
    rows: list[tuple[str, Any]] = [
        ("inputs", describe(report.signature)),
        ("outputs", describe_tensors(report.signature.outputs)),
        ("parameters", f"{report.parameters:,}"),
        ("file MB", f"{report.bytes / 1e6:.2f}"),
        ("dynamic", ", ".join(report.dynamic) or "none"),
        ("preprocessing", report.signature.preprocessing.partition("\n")[0] or "none"),
    ]
    return Table(("captured", ""), rows)
