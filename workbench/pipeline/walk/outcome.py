"""What a finished run of a pipeline shows: its steps, its outputs."""

from __future__ import annotations

import json

from ...render.table import Table
from ...store import RunRow, StepRow, Store
from ..result import Result
from .driver import made_by

_SHOWN = 20
_CELL = 60


def pipeline_result(store: Store, row: RunRow, name: str) -> Result:
    """Return the outputs of a finished run of a pipeline of this name, and how its steps went."""
    made = made_by(store, row.id)
    outputs = {**made.parameters, **made.artifacts}
    digests = [one for one in made.artifacts.values() if isinstance(one, str)]
    return Result(
        f"{name} on {row.executor}",
        tables=(steps_table(row.steps), _outputs_table(outputs)) if outputs else (steps_table(row.steps),),
        digest=digests[0] if len(digests) == 1 else "",
        details={
            "outputs": outputs,
            "artifacts": sorted(made.artifacts),
            "run": row.id,
            "cached": row.steps_cached == row.steps_total,
        },
        store=store,
    )


def steps_table(steps: tuple[StepRow, ...]) -> Table:
    """Return how steps went, the slowest first when there are many."""
    shown = sorted(steps, key=_seconds, reverse=True)[:_SHOWN] if len(steps) > _SHOWN else steps
    note = f"the {_SHOWN} slowest of {len(steps)}" if len(steps) > _SHOWN else ""
    rows = [
        (row.verb, "cached" if row.cached else row.state, row.attempt, round(_seconds(row) * 1e3, 1))
        for row in shown
    ]
    return Table(("step", "state", "attempts", "ms"), rows, note=note)


def _seconds(row: StepRow) -> float:
    return 0.0 if row.cached else (row.finished_s or 0.0) - (row.started_s or row.finished_s or 0.0)


def _outputs_table(outputs: dict[str, object]) -> Table:
    rows = [(name, _short(value)) for name, value in outputs.items()]
    return Table(("output", "value"), rows)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _CELL else text[: _CELL - 1] + "…"
