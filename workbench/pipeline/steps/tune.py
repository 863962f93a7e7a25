"""The step ``tune``: schedules for a program's functions, measured on this processor, as an artifact."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ...codec import register
from ...compile import CompileConfig
from ...render.table import Table
from ...store.blobs import remove_tree
from ..context import StepContext
from ..recipe import step_body
from ..result import StepResult, table_json

if TYPE_CHECKING:
    from ...compile.relax.records import Facts

AXES = ("s of tuning", "ms a run")


@register("tune_step")
@dataclass(frozen=True)
class TuneStep:
    """Look for schedules.

    Parameters
    ----------
    program
        The program or variant.
    config
        The backend tvm with its options.
    seconds
        Wall-clock budget; what a killed run spent counts.
    records
        Records to start from; empty for none.
    machine
        The processor they are for.
    name
        What to call the records.
    """

    verb: ClassVar[str] = "tune"
    inputs: ClassVar[tuple[str, ...]] = ("program", "records")
    code: ClassVar[tuple[str, ...]] = ("compile", "kernels", "pipeline/steps/tune.py")

    program: str
    config: CompileConfig = field(default_factory=CompileConfig)
    seconds: float = 60.0
    records: str = ""
    machine: str = ""
    name: str = ""


@step_body(TuneStep)
def tune(step: TuneStep, context: StepContext) -> StepResult:
    """Tune in a folder that outlives a killed run, whatever budget the next one has; store a copy."""
    from ...compile.relax import records
    from ...compile.relax.tuning import tune as search

    program = context.input(step.program)
    folder = context.resumable(dataclasses.replace(step, seconds=0.0))
    budget = step.seconds
    if step.records:
        given = context.input(step.records)
        budget += records.read_facts(given).seconds  # spent already, on the same folder's clock
        if not (folder / records.FACTS_FILE).exists():
            records.copy(given, folder)
    facts = search(
        program,
        folder,
        step.config,
        budget,
        lambda share, text, curve: context.stage(text, 0.9 * share, curve=curve, axes=AXES, title="tuning"),
    )
    digest = _store(step, context, folder)
    remove_tree(folder)
    return StepResult(
        digest, tables=(table_json(table(facts)),), details={"tuning": details(facts), "records": digest}
    )


def _store(step: TuneStep, context: StepContext, folder: Path) -> str:
    from ...compile.relax.records import copy

    out = context.folder()
    copy(folder, out)
    return context.put("tuning", out, parents=tuple(one for one in (step.program, step.records) if one))


def details(facts: Facts) -> dict[str, object]:
    """Return what records are good for as JSON-able facts."""
    kept = ("cpu", "target", "tvm", "seconds", "trials", "crashes", "curve")
    return {name: getattr(facts, name) for name in kept}


def table(facts: Facts) -> Table:
    """Return what records are good for."""
    first, last = (f"{facts.curve[i][1]:.4g} ms" if facts.curve else "" for i in (0, -1))
    rows = (
        ("schedules tried", facts.trials),
        ("seconds", facts.seconds),
        ("crashed batches", facts.crashes),
        ("TVM's functions, all measured once", first),
        ("TVM's functions, tuned", last),
        ("measured on", facts.cpu.partition(" [")[0]),
    )
    return Table(("tuning", ""), rows, note="linked kernels are not in these times")
