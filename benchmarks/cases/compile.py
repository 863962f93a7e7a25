"""Every backend and number format over the zoo, raced by ``--backend auto``; what it picks beside torch eager."""

from __future__ import annotations

import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import workbench as wb
from workbench.store import Store

from ..samples import Samples
from ..zoo import ZOO, specimen

BUDGET_S = {"mlp": 120.0, "cnn": 150.0, "resnet18": 240.0, "efficientnet": 240.0, "minilm": 300.0}
_OTHER_S, _QUICK_S = 120.0, 40.0
_DROP = 0.5
"""Points that may be lost by the model's own measure."""


def run(samples: Samples, *, quick: bool) -> None:
    """Measure; the perceptron alone when quick, else the zoo, batch 1 and 8, one and two threads."""
    import torch

    torch.set_num_threads(1)
    ratios = []
    for name in ["mlp"] if quick else ZOO:
        for batch, threads in ((1, 1),) if quick else ((1, 1), (8, 1), (1, 2), (8, 2)):
            print(f"{name}, batch {batch}, {threads} thread(s)", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory() as home:
                best = _one(samples, name, batch, threads, Store(Path(home)), quick=quick)
            if (batch, threads) == (1, 1):
                ratios.append(best)
    if len(ratios) > 1:
        samples.add("geometric_mean.times_eager", math.exp(sum(map(math.log, ratios)) / len(ratios)))


def _one(samples: Samples, name: str, batch: int, threads: int, store: Store, *, quick: bool) -> float:
    """Search for one model and return how many times eager the pick is."""
    found = specimen(name)
    dynamic = "auto" if batch == 1 else "none"  # with sizes fixed, a call is the captured batch of 8
    wb.capture(found.module, found.inputs, name="m", dynamic=dynamic, store=store)
    judge: dict[str, Any] = {}
    if batch == 1:
        judge = {"calibrate": list(found.calibration), "evaluate": found.evaluate}
        judge["max_drop"] = _DROP if found.evaluate else None
    budget = _QUICK_S if quick else BUDGET_S.get(name, _OTHER_S)
    made: Any = wb.choose("m", budget=budget, threads=threads, store=store, **judge)
    at = f"{name}.b{batch}.t{threads}"
    for one in made.contenders:
        if one["speedup"]:
            samples.add(f"{at}.{one['name'].replace('/', '.')}.times_eager", one["speedup"])
            if one["compile_s"]:
                samples.add(f"{at}.{one['name'].replace('/', '.')}.compile_s", one["compile_s"])
            if one["score"] is not None:
                samples.add(f"{at}.{one['name'].replace('/', '.')}.points", one["score"])
    samples.add(f"{at}.picked.times_eager", made.speedup)
    return float(made.speedup)
