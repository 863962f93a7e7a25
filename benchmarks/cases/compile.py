"""Every backend and number format over the zoo, raced by ``--backend auto``; what it picks beside torch eager."""

from __future__ import annotations

import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import workbench as wb
from workbench.atomic import write_bytes
from workbench.errors import WorkbenchError
from workbench.store import Store

from ..samples import Samples
from ..zoo import ZOO, Specimen, specimen

PARTS = tuple(ZOO)

BUDGET_S = {"mlp": 40.0, "resnet18": 100.0, "efficientnet": 100.0, "minilm": 150.0}
_OTHER_S, _AGAIN = 50.0, 0.3
"""Seconds of a search over everything, and the part of that for one among its best: 18 minutes for the whole zoo."""
_BEST = 3
"""So many of the first search are measured again at other sizes and threads."""
_ROUNDS, _TURN_S = 15, 0.05
"""How often the pick and the module take turns, and seconds of calls a turn."""
_FIRST = (1, 1)
_CELLS = (_FIRST, (8, 1), (1, 2), (8, 2))
"""Batch and threads. The first is searched whole."""


def run(samples: Samples, *, quick: bool, only: Sequence[str] = (), keep: Path | None = None) -> None:
    """Measure; the parts asked for, else the zoo: batch 1 and 8, one and two threads. Quick: the perceptron, once."""
    ratios, picks, failed = [], [], 0
    for name in only or (["mlp"] if quick else ZOO):
        among: list[str] = []
        for batch, threads in _CELLS[:1] if quick else _CELLS:
            at, began = f"{name}.b{batch}.t{threads}", time.monotonic()
            try:
                cell = _kept(keep, at, lambda: _one(name, batch, threads, among))  # noqa: B023
            except (WorkbenchError, OSError, RuntimeError) as error:  # one cell is no reason to lose the rest
                print(f"{at}: failed: {error}", file=sys.stderr, flush=True)
                failed += 1  # not kept: with the same folder, the next run tries it again
                continue
            values = cell["values"]
            samples.extend(values)
            found = {key: statistics.median(values[f"{at}.picked.{key}"]) for key in _OF_A_PICK}
            told = ", ".join(f"{key} {value:.3g}" for key, value in found.items())
            print(f"{at}: {told}; {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            picks.append(found)
            if (batch, threads) == _FIRST:
                among = cell["best"]
                ratios.append(found["times_module"])
    if len(ratios) > 1:
        samples.add("geometric_mean.times_module", math.exp(sum(map(math.log, ratios)) / len(ratios)))
    if picks:
        samples.add("worst.over_best", min(one["over_best"] for one in picks))
        samples.add("worst.drop_points", max(one["drop_points"] for one in picks))
    samples.add("cells.failed", failed)


_OF_A_PICK = ("times_module", "over_best", "drop_points")


def _kept(folder: Path | None, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what was measured before and kept, else measure and keep it."""
    if folder is None:
        return measure()
    file = folder / f"{name}.json"
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(file, json.dumps(measure()).encode())
    found: dict[str, Any] = json.loads(file.read_bytes())
    return found


def _one(name: str, batch: int, threads: int, among: Sequence[str]) -> dict[str, Any]:
    """Search for one model, everything or among some; return all figures, and the names of the best."""
    samples, found = Samples(), specimen(name)
    with tempfile.TemporaryDirectory() as home:
        store = Store(Path(home))
        dynamic = "auto" if batch == 1 else "none"  # with sizes fixed, a call is the captured batch of 8
        wb.capture(found.module, found.inputs, name="m", dynamic=dynamic, store=store)
        judge: dict[str, Any] = {"calibrate": list(found.calibration)} if batch == 1 else {}
        if batch == 1 and found.evaluate:
            judge |= {"evaluate": found.evaluate, "max_drop": found.drop}
        budget = BUDGET_S.get(name, _OTHER_S) * (_AGAIN if among else 1.0)
        made: Any = wb.choose("m", backends=among, budget=budget, threads=threads, store=store, **judge)
        at = f"{name}.b{batch}.t{threads}"
        _note(samples, at, made)
        _against_module(samples, at, found, made.session(threads=threads), batch, threads)
    passed = [one for one in made.contenders if one["verdict"] in ("picked", "passes", "slower than float")]
    order = sorted(passed, key=lambda one: -one["speedup"])
    best = [f"{one['scheme']}/{one['backend']}" for one in order if one["backend"] != "eager"]
    return {"values": samples.all_values(), "best": best[:_BEST] or ["eager"]}


def _note(samples: Samples, at: str, made: Any) -> None:
    """Add what a search found out."""
    for one in made.contenders:
        if one["speedup"]:
            key = f"{at}.{one['name'].replace('/', '.')}"
            samples.add(f"{key}.times_eager", one["speedup"])
            if one["compile_s"]:
                samples.add(f"{key}.compile_s", one["compile_s"])
            if one["score"] is not None:
                samples.add(f"{key}.points", one["score"])
    samples.add(f"{at}.picked.times_eager", made.speedup)
    fastest = max(one["speedup"] for one in made.contenders if one["verdict"] in ("picked", "passes"))
    samples.add(f"{at}.picked.over_best", made.speedup / fastest)
    scores = {one["verdict"]: one["score"] for one in made.contenders if one["verdict"] == "picked"}
    float_score = next(one["score"] for one in made.contenders if one["name"] == "eager")
    samples.add(f"{at}.picked.drop_points", float_score - scores["picked"])


def _against_module(
    samples: Samples, at: str, found: Specimen, session: Any, batch: int, threads: int
) -> None:
    """Time the pick and the module itself, uncaptured, in turns in this process."""
    import torch

    torch.set_num_threads(threads)
    inputs = tuple(one[:batch] for one in found.inputs)
    feeds = {spec.name: one.numpy() for spec, one in zip(session.signature.inputs, inputs, strict=True)}

    @torch.inference_mode()
    def module() -> None:
        found.module(*inputs)

    for _ in range(_ROUNDS):
        theirs, ours = _call_s(module), _call_s(lambda: session.runner.run(feeds))
        samples.add(f"{at}.module.ms", theirs * 1e3)
        samples.add(f"{at}.picked.times_module", theirs / ours)


def _call_s(call: Callable[[], object]) -> float:
    """Return the median seconds of a call."""
    taken: list[float] = []
    until = time.perf_counter() + _TURN_S
    while len(taken) < 3 or time.perf_counter() < until:
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)
