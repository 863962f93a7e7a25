"""The part of the step ``quantize`` that trains: heal, train the control, score all four, tell how it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..program import Examples, read_examples, read_signature, runner, to_arrays, write_program
from ..quantize.heal import HealConfig, Task, heal
from ..render.table import Table
from ..store.blobs import remove_tree
from .callables import CallableReference
from .context import StepContext
from .evaluation import score

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from ..quantize.heal import Healed
    from ..quantize.heal.checkpoint import TrainingState
    from ..session import Session
    from .steps.quantize import QuantizeStep

_SHARES = {"healing": (0.05, 0.3), "control": (0.3, 0.55)}
_ENOUGH = 0.5
"""Training stops early once the drop is within this share of what the gate allows: what is served may lose a little
that training does not see."""


@dataclass(frozen=True)
class Trained:
    """What came of healing.

    Parameters
    ----------
    program
        Folder of the healed float program.
    healed
        Curves and costs.
    float_score, naive_score, control_score
        None without an evaluation function.
    """

    program: Path
    healed: Healed
    float_score: float | None
    naive_score: float | None
    control_score: float | None

    def details(self) -> dict[str, Any]:
        """Return the curves as JSON-able facts: CPU seconds, held-out loss, score."""
        named = {"healed": self.healed.curve, "control": self.healed.control_curve}
        return {"curves": {name: [[p.cpu_s, p.loss, p.score] for p in c] for name, c in named.items()}}


def trained(step: QuantizeStep, context: StepContext, program: Path) -> Trained:
    """Heal the program of a folder; an interrupted step goes on where it stood."""
    import torch

    from ..compile import reference
    from ..quantize import quantize_program

    assert step.heal is not None, "the step was asked to heal"
    torch.set_num_threads(step.threads)
    naive = context.folder()
    quantize_program(program, naive, step.config)
    evaluate = evaluation(step.evaluate, context)
    given = None if evaluate is None else evaluate(reference(program, step.threads))
    rounded = None if evaluate is None else evaluate(reference(naive, step.threads))
    folder = context.resumable()
    task = Task(
        step.config,
        step.heal,
        context.data(step.train),
        None if step.loss is None else context.function(step.loss),
        evaluate,
        enough(step.max_drop, given),
        Teller(context, step.heal),
    )
    healed = heal(program, task, folder)
    remove_tree(folder)
    out, control = context.folder(), context.folder()
    write_trained(program, healed.program, out)
    write_trained(program, healed.control, control)
    last = None if evaluate is None else evaluate(reference(control, step.threads))
    return Trained(out, healed, given, rounded, last)


def table(found: Trained, made: str, score: float | None, size_ratio: float, measure: str) -> Table:
    """Return the four side by side: given, naive, healed, and the control.

    Parameters
    ----------
    found
        What came of healing.
    made
        What was made of the program: a scheme's name, ``pruned``.
    score
        Of what is served in the end.
    size_ratio
        Of its weights to those given.
    measure
        Name of the user's measure, empty for none.
    """
    healed, control = found.healed, found.healed.control_curve[-1]
    size = f"{size_ratio:.2f}x"
    rows: list[tuple[str | float | None, ...]] = [
        ("fp32, as given", found.float_score, healed.float_loss, "0", "1x"),
        (f"{made}, naive", found.naive_score, healed.curve[0].loss, "0", size),
        (f"{made}, healed", score, healed.curve[-1].loss, f"{healed.cpu_s:.1f}", size),
        ("fp32, trained as long", found.control_score, control.loss, f"{control.cpu_s:.1f}", "1x"),
    ]
    first = found.float_score
    rows = [(n, s, None if s is None or first is None else float(s) - first, *rest) for n, s, *rest in rows]
    kept = (0, 1, 2, 3, 4, 5) if measure else (0, 3, 4, 5)
    columns = ("", measure, "change", "held-out loss", "CPU s", "weights")
    return Table(
        tuple(columns[i] for i in kept),
        [tuple(row[i] for i in kept) for row in rows],
        title=f"healing: {healed.steps} steps",
        note="the last row is the control: the same data, budget and loop on the whole fp32 program;"
        " evaluation is not counted",
    )


def measure_name(evaluate: CallableReference | None) -> str:
    """Return what to call the user's measure in a table, empty without one."""
    return evaluate.target.rpartition(":")[2] if evaluate else ""


def evaluation(evaluate: CallableReference | None, context: StepContext) -> Callable[[Session], float] | None:
    """Return the user's measure as a checked function of a session, None where there is none."""
    if evaluate is None:
        return None
    function = context.function(evaluate)
    return lambda session: score(function, session)


def enough(max_drop: float | None, reference: float | None) -> Callable[[float], bool]:
    """Return what says whether a score is good enough to stop training."""
    if max_drop is None or reference is None:
        return lambda value: False
    allowed = reference - _ENOUGH * max_drop
    return lambda value: value >= allowed


def write_trained(folder: Path, program: ExportedProgram, out: Path) -> None:
    """Write a trained program's folder: the captured inputs, and what it gives for them."""
    import torch

    signature, inputs = read_signature(folder), read_examples(folder).inputs
    outputs = to_arrays(runner(program, signature)({k: torch.from_numpy(v) for k, v in inputs.items()}))
    write_program(out, program, signature, Examples(inputs, outputs))


class Teller:
    """Turns the state of a training into progress with a curve."""

    def __init__(self, context: StepContext, config: HealConfig) -> None:
        self._context, self._config = context, config

    def __call__(self, name: str, state: TrainingState, loss: float) -> None:
        """Tell where a training stands."""
        low, high = _SHARES[name]
        share = low + (high - low) * min(state.cpu_s / self._config.cpu_s, 1.0)
        last = state.curve[-1] if state.curve else None
        words = f"{name} {state.cpu_s:.1f} of {self._config.cpu_s:g} CPU s, loss {loss:.4g}"
        if last is not None and last.score is not None:
            words += f", score {last.score:.4g}"
        curve = [[point.cpu_s, point.loss] for point in state.curve]
        self._context.progress(words, share, curve=curve)
