"""Every backend and number format over the zoo, raced by ``--backend auto``; what it picks beside torch eager."""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import workbench as wb
from workbench.store import Store

from ..samples import Samples
from ..zoo import ZOO, Specimen, specimen

PARTS = tuple(ZOO)

BUDGET_S = {"mlp": 120.0, "cnn": 150.0, "resnet18": 240.0, "efficientnet": 240.0, "minilm": 300.0}
_OTHER_S, _QUICK_S = 120.0, 40.0
_DROP = 0.5
"""Points that may be lost by the model's own measure."""
_ROUNDS, _TURN_S = 15, 0.05
"""How often the pick and the module take turns, and seconds of calls a turn."""


def run(samples: Samples, *, quick: bool, only: Sequence[str] = ()) -> None:
    """Measure; the parts asked for, else the zoo: batch 1 and 8, one and two threads. Quick: the perceptron, once."""
    ratios = []
    for name in only or (["mlp"] if quick else ZOO):
        for batch, threads in ((1, 1),) if quick else ((1, 1), (8, 1), (1, 2), (8, 2)):
            print(f"{name}, batch {batch}, {threads} thread(s)", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory() as home:
                best = _one(samples, name, batch, threads, Store(Path(home)), quick=quick)
            if (batch, threads) == (1, 1):
                ratios.append(best)
    if len(ratios) > 1:
        samples.add("geometric_mean.times_module", math.exp(sum(map(math.log, ratios)) / len(ratios)))


def _one(samples: Samples, name: str, batch: int, threads: int, store: Store, *, quick: bool) -> float:
    """Search for one model and return how many times as fast as the module its pick is."""
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
    return _against_module(samples, at, found, made.session(threads=threads), batch, threads)


def _against_module(
    samples: Samples, at: str, found: Specimen, session: Any, batch: int, threads: int
) -> float:
    """Time the pick and the module itself, uncaptured, in turns in this process; return the median ratio."""
    import torch

    torch.set_num_threads(threads)
    inputs = tuple(one[:batch] for one in found.inputs)
    feeds = {spec.name: one.numpy() for spec, one in zip(session.signature.inputs, inputs, strict=True)}

    @torch.inference_mode()
    def module() -> None:
        found.module(*inputs)

    ratios = []
    for _ in range(_ROUNDS):
        theirs, ours = _call_s(module), _call_s(lambda: session.runner.run(feeds))
        samples.add(f"{at}.module.ms", theirs * 1e3)
        samples.add(f"{at}.picked.times_module", theirs / ours)
        ratios.append(theirs / ours)
    return statistics.median(ratios)


def _call_s(call: Callable[[], object]) -> float:
    """Return the median seconds of a call."""
    taken: list[float] = []
    until = time.perf_counter() + _TURN_S
    while len(taken) < 3 or time.perf_counter() < until:
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)
