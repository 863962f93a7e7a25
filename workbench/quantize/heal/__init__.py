"""Train a program so that it stands being rounded to -1, 0 and 1: quantization-aware training.

::

    config.py      how long, how fast, what to learn from
    data.py        checked batches, shuffled by rows, some held out
    twin.py        the program as a module that trains, its weights rounded in the forward pass
    loss.py        what is minimised: the user's loss, or a default by the target's type; the teacher
    trainer.py     the loop: a budget of CPU seconds, a curve, checkpoints
    checkpoint.py  what a killed run goes on from
    entry.py       heal (or recover what pruning left): the trained program and, always, the control
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .config import HealConfig

if TYPE_CHECKING:
    from .entry import Healed, Task, heal, recover

__all__ = ["HealConfig", "Healed", "Task", "heal", "recover"]


def __getattr__(name: str) -> Any:
    if name in ("Healed", "Task", "heal", "recover"):
        from . import entry

        return getattr(entry, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
