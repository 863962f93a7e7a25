"""Healing of the tutorial's models: CPU seconds until they are good enough, and what the control reached in them."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from workbench.capture import capture_module
from workbench.examples import charlm, digits
from workbench.quantize import QuantizeConfig
from workbench.quantize.heal import HealConfig, Task, heal

from ..samples import Samples

POINTS, PERPLEXITY = 1.0, 1.05
"""How many points of accuracy, and how many times the perplexity, a healed model may lose."""
_TRAINED_S = 90.0


@dataclass(frozen=True)
class Patient:
    """A trained model, its data, and when it is well."""

    module: torch.nn.Module
    inputs: Any
    items: Any
    score: Callable[[Any], float]
    enough: Callable[[float, float], bool]
    config: HealConfig


def digits_cnn() -> Patient:
    """Return the digits CNN; it may lose a point of accuracy within five CPU seconds."""
    torch.manual_seed(0)
    data = digits.load()
    net = digits.train(digits.DigitsNet(), data)
    items = list(zip(torch.split(data.train_images, 64), torch.split(data.train_labels, 64), strict=True))
    return Patient(
        net,
        data.test_images[:8],
        items,
        lambda model: 100 * float(digits.accuracy(model, data)),
        lambda given, now: now >= given - POINTS,
        HealConfig(5.0, 3e-3),
    )


def char_lm() -> Patient:
    """Return the character model, trained for 90 CPU seconds; it may lose 5 % of perplexity within 60."""
    torch.manual_seed(0)
    corpus = charlm.load()
    lm = charlm.train(charlm.CharLM(len(corpus.alphabet)), corpus, cpu_s=_TRAINED_S)
    return Patient(
        lm,
        corpus.windows(corpus.test)[0][:4],
        list(charlm.batches(corpus, 1500, seed=1)),
        lambda model: -charlm.perplexity(model, corpus, windows=64),
        lambda given, now: -now <= -given * PERPLEXITY,
        HealConfig(60.0, 2e-3),
    )


def measure(samples: Samples, name: str, patient: Patient) -> None:
    """Heal until the score is good enough; add what it took, and the scores of all."""
    given = patient.score(patient.module)
    with tempfile.TemporaryDirectory() as folder:
        program, checkpoints = Path(folder) / "program", Path(folder) / "checkpoints"
        program.mkdir()
        checkpoints.mkdir()
        capture_module(patient.module, patient.inputs, program)
        task = Task(
            QuantizeConfig("ternary"),
            patient.config,
            patient.items,
            score=patient.score,
            enough=lambda now: patient.enough(given, now),
        )
        healed = heal(program, task, checkpoints)
    first, last, control = healed.curve[0].score, healed.curve[-1].score, healed.control_curve[-1].score
    samples.add(f"heal.{name}.cpu_s", healed.cpu_s)
    samples.add(f"heal.{name}.steps", healed.steps)
    for which, score in (("given", given), ("naive", first), ("healed", last), ("control", control)):
        samples.add(f"heal.{name}.{which}.score", math.nan if score is None else abs(score))
