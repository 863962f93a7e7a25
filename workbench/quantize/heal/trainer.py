"""The training loop: as many steps as a budget of CPU seconds holds, a curve, checkpoints, an early stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.errors import NonFinite

from .checkpoint import Checkpoint, Point, TrainingState
from .config import HealConfig
from .data import TrainingData
from .loss import Objective

_WARM_UP = 0.05
_LAST_RATE = 0.02
_LOOKS = 12
"""Points of the curve a budget has, fewer where one takes long: looking may cost a quarter of the budget."""
_LOOK_SHARE = 0.25
_SAVE_EVERY_S = 2.0
_CLIP = 1.0

Forward = Callable[[list[Tensor]], list[Tensor]]


@dataclass(frozen=True)
class Watch:
    """What looks on while a program trains.

    Parameters
    ----------
    tell
        Called with the state after each point of the curve, and now and then between.
    score
        Gives the user's score of the program as it is, or None.
    enough
        Says whether a score is good enough to stop.
    """

    tell: Callable[[TrainingState, float], None]
    score: Callable[[], float] | None = None
    enough: Callable[[float], bool] = lambda score: False


def train(
    forward: Forward,
    weights: dict[str, Tensor],
    data: TrainingData,
    objective: Objective,
    config: HealConfig,
    checkpoint: Checkpoint,
    watch: Watch,
) -> TrainingState:
    """Train `weights` in place until the budget is spent or the score is good enough.

    Goes on from the checkpoint where there is one. An interrupt writes a last one before it goes up.

    Raises
    ------
    NonFinite
        If the loss becomes NaN or infinite.
    """
    distinct = list({id(w): w for w in weights.values()}.values())
    optimizer = torch.optim.AdamW(distinct, lr=config.learning_rate, weight_decay=0.0)
    state = checkpoint.load(weights, optimizer)
    look = _Looker(forward, data, objective, config, watch)
    saved_s = state.cpu_s
    try:
        while not state.done:
            if look.due(state) and look(state):
                break
            start = time.process_time()
            loss = _step(forward, distinct, data, objective, optimizer, _rate(state, config), state.step)
            state.step += 1
            state.cpu_s += time.process_time() - start
            watch.tell(state, loss)
            state.done = state.cpu_s >= config.cpu_s
            if state.cpu_s - saved_s >= _SAVE_EVERY_S:
                checkpoint.save(state, weights, optimizer)
                saved_s = state.cpu_s
    except KeyboardInterrupt:
        checkpoint.save(state, weights, optimizer)
        raise
    if not state.curve or state.curve[-1].cpu_s < state.cpu_s:
        look(state)
    state.done = True
    checkpoint.save(state, weights, optimizer)
    return state


def _step(
    forward: Forward,
    weights: list[Tensor],
    data: TrainingData,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    rate: float,
    number: int,
) -> float:
    batch = data.batch(number)
    loss = objective(forward(batch.inputs), batch)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise NonFinite(
            f"the training loss became {value} at step {number}",
            where="heal",
            fix="a smaller --learning-rate, or check the training data",
        )
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(weights, _CLIP)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    return value


def _rate(state: TrainingState, config: HealConfig) -> float:
    """Return the learning rate for the share of the budget that is spent: up, then down a cosine."""
    share = min(state.cpu_s / config.cpu_s, 1.0)
    if share < _WARM_UP:
        return config.learning_rate * max(share / _WARM_UP, 0.1)
    down = (1 + math.cos(math.pi * (share - _WARM_UP) / (1 - _WARM_UP))) / 2
    return config.learning_rate * (_LAST_RATE + (1 - _LAST_RATE) * down)


class _Looker:
    """Adds points to the curve, as often as their cost allows."""

    def __init__(
        self, forward: Forward, data: TrainingData, objective: Objective, config: HealConfig, watch: Watch
    ) -> None:
        self._forward, self._data, self._objective, self._watch = forward, data, objective, watch
        self._every_s = config.cpu_s / _LOOKS

    def due(self, state: TrainingState) -> bool:
        """Whether the curve needs a point."""
        return not state.curve or state.cpu_s - state.curve[-1].cpu_s >= self._every_s

    def __call__(self, state: TrainingState) -> bool:
        """Add a point and return whether its score is good enough."""
        start = time.process_time()
        loss = held_out_loss(self._forward, self._data, self._objective)
        score = self._watch.score() if self._watch.score else None
        state.curve.append(Point(state.cpu_s, loss, score))
        self._every_s = max(self._every_s, (time.process_time() - start) / _LOOK_SHARE)
        self._watch.tell(state, loss)
        return score is not None and state.step > 0 and self._watch.enough(score)


@torch.no_grad()
def held_out_loss(forward: Forward, data: TrainingData, objective: Objective) -> float:
    """Return the mean loss of the held-out batches, each row alike."""
    total = weight = 0.0
    for batch in data.held_out():
        outputs = forward(batch.inputs)
        loss = objective(outputs, batch) if batch.target is None else objective.task(outputs, batch.target)
        total += float(loss) * len(batch.rows)
        weight += len(batch.rows)
    return total / weight
