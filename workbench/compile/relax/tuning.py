"""Schedules found by measuring, inside a budget; every measurement is kept as it is made.

A run that is killed goes on from its folder: the records are lines of a file, and which batch was begun is written
before it begins, so that one that crashes is not met again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import CompileError
from ..config import CompileConfig
from ..options import read_options
from ..source import Source
from .importing import to_relax
from .lowering import fused, quiet
from .measuring import Crashed, best_seconds, database, measure_batch
from .package import compiler
from .records import FACTS_FILE, Facts, check, read_facts, repair, write_facts
from .targets import llvm_target, resolve

_FAILURES = 3  # batches without a valid candidate before a function is left as it is
_CRASHES = 20  # of one run, before it is given up
Tell = Callable[[float, str, list[list[float]]], None]
"""Called with the share of the budget spent, a line of text, and the curve so far."""


@dataclass
class _Task:
    """One function to find a schedule for."""

    name: str
    function: Any
    weight: int
    best_s: float
    tried: int = 0
    barren: int = 0

    @property
    def share_s(self) -> float:
        """Seconds of a run it takes with its best schedule."""
        return self.weight * self.best_s


def tune(variant: Path, folder: Path, config: CompileConfig, seconds: float, tell: Tell) -> Facts:
    """Look for schedules of a program's functions; those of earlier runs on the same folder count.

    Parameters
    ----------
    variant
        A program or variant folder.
    folder
        Where the records lie, or will lie. A killed run's folder is taken up again.
    config
        The backend tvm with its options; the target is this machine.
    seconds
        Wall-clock budget over all runs on this folder.
    tell
        Called after every batch.

    Raises
    ------
    CompileError
        If sizes are dynamic (a schedule is for one size), if nothing could be tuned, or if the folder's records were
        measured on another processor.
    """
    from ..backends.tvm import TvmOptions

    target_name = resolve(config.target)
    target = llvm_target(target_name, config.threads)
    facts = read_facts(folder) if (folder / FACTS_FILE).is_file() else Facts.here(target_name)
    check(facts, target_name, str(folder))
    repair(folder)
    source = Source(variant)
    _check_sizes(source)
    kernels = read_options(TvmOptions, config.options, "tvm").kernels
    tell(0.0, "finding the functions to tune", facts.curve)
    tasks = _tasks(fused(to_relax(source, linked=kernels == "linked"), target), target, folder, facts)
    if not tasks:
        raise CompileError(
            "there is nothing to tune: none of the program's functions is TVM's own",
            where=f"--option kernels={kernels}",
            fix="leave out --tune" + (", or use --option kernels=tvm" if kernels == "linked" else ""),
        )
    _search(tasks, target, folder, facts, seconds, tell)
    if all(task.best_s == float("inf") for task in tasks):
        raise CompileError(
            f"no schedule could be measured in {facts.seconds:.0f} s ({facts.crashes} batches crashed)",
            where="--tune",
            fix="give it more time: --tune 120s, or leave it out",
        )
    return facts


def apply(module: Any, target: Any, folder: Path) -> Any:
    """Return a fused module with the best schedules of some records."""
    tvm = compiler()
    with quiet(), target, database(folder), tvm.transform.PassContext(opt_level=3):
        return tvm.relax.transform.MetaScheduleApplyDatabase(enable_warning=False)(module)


def _check_sizes(source: Source) -> None:
    dynamic = sorted({d for s in source.signature.inputs for d in s.shape if isinstance(d, str)})
    if dynamic:
        raise CompileError(
            f"a schedule is found for one size, this program has dynamic ones: {', '.join(dynamic)}",
            where="--tune",
            fix='capture it with dynamic="none", or leave out --tune',
        )


def _tasks(module: Any, target: Any, folder: Path, facts: Facts) -> list[_Task]:
    meta, records = compiler().s_tir.meta_schedule, database(folder)
    found = []
    with quiet():
        for task in meta.relax_integration.extract_tasks(module, target):
            name, function = str(task.task_name), task.dispatched[0]
            best = best_seconds(records, function)
            found.append(_Task(name, function, int(task.weight), best, facts.tried.get(name, 0)))
    return found


def _search(tasks: list[_Task], target: Any, folder: Path, facts: Facts, seconds: float, tell: Tell) -> None:
    begun, spent, crashes = time.monotonic(), facts.seconds, 0
    end = begun + seconds - spent
    write_facts(folder, facts)
    while time.monotonic() < end and crashes <= _CRASHES and (task := _next(tasks)) is not None:
        seed, task.tried = task.tried, task.tried + 1
        facts.tried[task.name] = task.tried
        write_facts(folder, facts)
        try:
            tried, measured = measure_batch(task.function, target, folder, seed, end)
        except Crashed:
            tried, measured = 0, 0
            crashes, facts.crashes = crashes + 1, facts.crashes + 1
            repair(folder)
        task.barren = 0 if measured else task.barren + 1
        task.best_s = best_seconds(database(folder), task.function)
        facts.seconds = round(spent + time.monotonic() - begun, 2)
        facts.trials += tried
        if (total := _total_ms(tasks)) is not None:
            facts.curve.append([facts.seconds, total])
        write_facts(folder, facts)
        tell(min(facts.seconds / seconds, 1.0), _said(tasks, facts, seconds), facts.curve)


def _next(tasks: list[_Task]) -> _Task | None:
    """Return the function to look at next: each once, then where most time is spent, less the longer it was tried."""
    left = [task for task in tasks if task.barren < _FAILURES]
    untried = [task for task in left if task.tried == 0]
    if untried:
        return untried[0]
    known = [task for task in left if task.best_s < float("inf")]
    return max(known or left, key=lambda task: task.share_s / (1 + task.tried), default=None)


def _total_ms(tasks: list[_Task]) -> float | None:
    """Return what a run's functions add up to, once every one was looked at."""
    if any(task.tried == 0 for task in tasks):
        return None
    return round(1e3 * sum(task.share_s for task in tasks if task.best_s < float("inf")), 4)


def _said(tasks: list[_Task], facts: Facts, seconds: float) -> str:
    total = _total_ms(tasks)
    known = sum(task.best_s < float("inf") for task in tasks)
    what = f"{known} of {len(tasks)} functions measured" if total is None else f"{total:.3g} ms a run"
    return f"tuning, {facts.seconds:.0f} of {seconds:g} s: {facts.trials} schedules, {what}"
