"""Heal a program, and train the control beside it.

The control answers the question every healed figure raises: what would the float program have reached, had it been
trained on the same data, for the same CPU seconds, by the same loop? It is never left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from workbench.errors import MissingInput, QuantizeError
from workbench.program import read_program, read_signature
from workbench.session import Session
from workbench.types import Signature

from ..assign import assign, prepared
from ..config import QuantizeConfig
from .checkpoint import Checkpoint, Point, TrainingState
from .config import HealConfig
from .data import TrainingData
from .loss import Loss, Objective, Teacher
from .trainer import Watch, held_out_loss, train
from .twin import Twin, trained

if TYPE_CHECKING:
    import numpy as np
    from torch.export import ExportedProgram

SCHEMES = ("ternary", "int4")
"""Schemes whose rounding can be trained for."""


@dataclass(frozen=True)
class Healed:
    """What healing gave.

    Parameters
    ----------
    program, control
        The float program to quantize; the float program trained for as long (the given one where the data have no
        targets, so that there is nothing to train it on).
    curve, control_curve
        Held-out loss and score over CPU seconds.
    cpu_s, steps
        What healing took.
    float_loss
        Held-out loss of the given program.
    """

    program: ExportedProgram
    control: ExportedProgram
    curve: tuple[Point, ...]
    control_curve: tuple[Point, ...]
    cpu_s: float
    steps: int
    float_loss: float


@dataclass(frozen=True)
class Task:
    """What to heal, on what, and who watches.

    Parameters
    ----------
    config, heal
        The format, and how to train.
    items
        The training data; see :mod:`workbench.quantize.heal.data`.
    loss
        The user's loss, or None for the default.
    score
        Scores a session, higher is better, or None.
    enough
        Says whether a score is good enough to stop early.
    tell
        Called with the name of the training (``healing``, ``control``), its state and the last loss.
    """

    config: QuantizeConfig
    heal: HealConfig
    items: Any
    loss: Loss | None = None
    score: Callable[[Session], float] | None = None
    enough: Callable[[float], bool] = lambda score: False
    tell: Callable[[str, TrainingState, float], None] = lambda name, state, loss: None


def heal(folder: Path, task: Task, checkpoints: Path) -> Healed:
    """Train the program of a folder for its format.

    Parameters
    ----------
    folder
        A program folder (left as it is).
    task
        What to do.
    checkpoints
        A folder that outlives this process; an interrupted training goes on from what lies there.

    Raises
    ------
    QuantizeError
        If the scheme has nothing to train for.
    MissingInput
        If the data have no targets and nothing is to be distilled.
    EmptyData, BadTensor, NonFinite, EvaluationFailed
        If data, loss or score are unusable.
    """
    scheme = task.config.scheme
    if scheme not in SCHEMES:
        raise QuantizeError(
            f"scheme {scheme} has nothing to heal", where="--heal", fix=f"--scheme {' or '.join(SCHEMES)}"
        )
    program = read_program(folder)

    def twin() -> Twin:
        assignment = assign(prepared(program), task.config, "ternary" if scheme == "ternary" else "int4")
        return Twin(program, assignment, task.config.ternary, group=task.config.group)

    return _beside_control(folder, (program, program), twin, task, checkpoints)


def recover(
    folder: Path, pruned: ExportedProgram, kept: Mapping[str, Tensor], task: Task, checkpoints: Path
) -> Healed:
    """Train what pruning left of the program of a folder; the control is the whole program, trained as long.

    Parameters
    ----------
    folder
        The program's folder (left as it is).
    pruned
        What was left of it.
    kept
        By weight name what must stay zero (False).
    task, checkpoints
        As for :func:`heal`; the scheme does not matter.

    Raises
    ------
    MissingInput, EmptyData, BadTensor, NonFinite, EvaluationFailed
        As :func:`heal`.
    """
    return _beside_control(
        folder,
        (read_program(folder), pruned),
        lambda: Twin(pruned, None, task.config.ternary, kept),
        task,
        checkpoints,
    )


def _beside_control(
    folder: Path,
    programs: tuple[ExportedProgram, ExportedProgram],
    make: Callable[[], Twin],
    task: Task,
    checkpoints: Path,
) -> Healed:
    """Train a twin of the second program, and the first as control."""
    program, shaped = programs
    signature = read_signature(folder)
    data = TrainingData(task.items, signature, task.heal.seed)
    if not data.has_targets and not task.heal.distill:
        raise MissingInput(
            "the training items have no target",
            where="train",
            fix="give pairs (inputs, target), or add --distill to learn from the float program alone",
        )
    plain = Twin(program, None, task.config.ternary)
    teacher = Teacher(plain, data) if task.heal.distill else None
    float_loss = held_out_loss(plain, data, Objective(signature, task.loss, teacher))
    twin = make()
    objective = Objective(signature, task.loss, teacher)
    state = _train("healing", twin, data, objective, task, signature, checkpoints)
    control = Twin(program, None, task.config.ternary)
    control_state = TrainingState(curve=[Point(0.0, float_loss)])
    if data.has_targets:
        alone = Objective(signature, task.loss, None)
        budget = _same_budget(task, state.cpu_s)
        control_state = _train("control", control, data, alone, budget, signature, checkpoints)
    return Healed(
        trained(shaped, twin.values()),
        trained(program, control.values()),
        tuple(state.curve),
        tuple(control_state.curve),
        state.cpu_s,
        state.step,
        float_loss,
    )


def _train(
    name: str,
    twin: Twin,
    data: TrainingData,
    objective: Objective,
    task: Task,
    signature: Signature,
    checkpoints: Path,
) -> TrainingState:
    session = Session(signature, _Running(twin, signature), name)
    score = task.score
    watch = Watch(
        lambda state, loss: task.tell(name, state, loss),
        None if score is None else lambda: score(session),
        task.enough if name == "healing" else lambda value: False,
    )
    checkpoint = Checkpoint(checkpoints / f"{name}.safetensors")
    return train(twin, twin.weights, data, objective, task.heal, checkpoint, watch)


def _same_budget(task: Task, cpu_s: float) -> Task:
    """Return the task of the control: as long as healing really took."""
    spent = HealConfig(max(cpu_s, 1e-3), task.heal.learning_rate, False, task.heal.seed)
    return Task(task.config, spent, task.items, task.loss, task.score, task.enough, task.tell)


class _Running:
    """Runs a twin as a session's backend."""

    def __init__(self, twin: Twin, signature: Signature) -> None:
        self._twin, self._signature = twin, signature

    def run(self, feeds: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        """Return the outputs by name."""
        import torch

        inputs: list[Tensor] = [torch.from_numpy(feeds[s.name].copy()) for s in self._signature.inputs]
        with torch.no_grad():
            outputs = self._twin(inputs)
        return {s.name: v.numpy() for s, v in zip(self._signature.outputs, outputs, strict=True)}
