"""What a killed training goes on from: weights and optimizer state in one safetensors file, written whole or not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from workbench.atomic import disk_guard, write_bytes

_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass
class Point:
    """One point of the curve: CPU seconds spent, held-out loss, score (None where none was asked for)."""

    cpu_s: float
    loss: float
    score: float | None = None


@dataclass
class TrainingState:
    """Where a training stands."""

    step: int = 0
    cpu_s: float = 0.0
    done: bool = False
    curve: list[Point] = field(default_factory=list)


class Checkpoint:
    """One file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def save(
        self, state: TrainingState, weights: Mapping[str, Tensor], optimizer: torch.optim.Optimizer
    ) -> None:
        """Write where the training stands.

        Raises
        ------
        StorageFull
            If the device is full; the old file is untouched.
        """
        from safetensors.torch import save

        tensors = {f"weight.{name}": w.detach().clone() for name, w in weights.items()}
        for name, w in weights.items():
            for moment in _MOMENTS:
                if moment in optimizer.state.get(w, {}):
                    tensors[f"{moment}.{name}"] = optimizer.state[w][moment].clone()
        curve = [[p.cpu_s, p.loss, p.score] for p in state.curve]
        facts = {"step": state.step, "cpu_s": state.cpu_s, "done": state.done, "curve": curve}
        with disk_guard(self._path):
            write_bytes(self._path, save(tensors, {"state": json.dumps(facts)}), mode=0o600)

    def load(self, weights: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> TrainingState:
        """Fill weights and optimizer from the file and return the state; without a fitting file a new one."""
        from safetensors import SafetensorError, safe_open

        if not self._path.is_file():
            return TrainingState()
        try:
            with safe_open(self._path, framework="pt") as file:
                facts = json.loads(file.metadata()["state"])
                held = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
        except (SafetensorError, KeyError, ValueError):
            return TrainingState()
        if any(f"weight.{n}" not in held or held[f"weight.{n}"].shape != w.shape for n, w in weights.items()):
            return TrainingState()
        with torch.no_grad():
            for name, w in weights.items():
                w.copy_(held[f"weight.{name}"])
        for name, w in weights.items():
            if f"{_MOMENTS[0]}.{name}" in held:
                moments = {moment: held[f"{moment}.{name}"] for moment in _MOMENTS}
                optimizer.state[w] = {"step": torch.tensor(float(facts["step"])), **moments}
        curve = [Point(*point) for point in facts["curve"]]
        return TrainingState(int(facts["step"]), float(facts["cpu_s"]), bool(facts["done"]), curve)
