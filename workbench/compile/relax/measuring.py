"""Schedules of one function, built and timed in a fork of this process: a crash or a hang costs one batch.

TVM's own builder and runner start processes that import the compiler for every few candidates, 20 s each here; a fork
has it already, so a candidate takes about a second.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import json
import os
import select
import signal
import time
from pathlib import Path
from typing import Any

import numpy

from .lowering import quiet
from .package import compiler
from .records import RECORDS

CANDIDATES = 8
"""Of one batch."""
_SHORTEST_S, _REPEATS = 0.005, 3
_GRACE_S = 30.0  # beyond the end of the budget: a candidate begun just before it may finish
_PR_SET_PDEATHSIG = 1


class Crashed(Exception):
    """The fork ended without an answer."""


def database(folder: Path) -> Any:
    """Return the database of a folder's records."""
    workloads, measured = (str(folder / name) for name in RECORDS)
    return compiler().s_tir.meta_schedule.database.JSONDatabase(workloads, measured)


def best_seconds(found: Any, function: Any) -> float:
    """Return the best time of a function in a database; infinite if it was never measured."""
    if not found.has_workload(function):
        return float("inf")
    best = found.get_top_k(found.commit_workload(function), 1)
    return float(numpy.mean([float(each) for each in best[0].run_secs])) if best else float("inf")


def measure_batch(function: Any, target: Any, folder: Path, seed: int, until_s: float) -> tuple[int, int]:
    """Try a few schedules of a function in a fork; what they take is in the folder's records afterwards.

    Parameters
    ----------
    function
        A module with one tensor program, ``main``.
    target
        TVM's target, this machine's.
    folder
        Where the records lie.
    seed
        Of the schedules.
    until_s
        On the monotonic clock: begin no candidate after it.

    Returns
    -------
    tuple
        How many were tried, and how many of these could be measured.

    Raises
    ------
    Crashed
        If the fork died, or did not end half a minute after `until_s`.
    """
    source, sink = os.pipe()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        os.close(source)
        _in_fork(parent, sink, function, target, folder, seed, until_s)
    os.close(sink)
    try:
        said = _answer(source, max(until_s - time.monotonic(), 0.0) + _GRACE_S)
    finally:
        os.close(source)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if not said:
        raise Crashed
    tried, measured = json.loads(said)
    return int(tried), int(measured)


def _answer(source: int, seconds: float) -> bytes:
    said, end = b"", time.monotonic() + seconds
    while select.select([source], [], [], max(end - time.monotonic(), 0.0))[0]:
        part = os.read(source, 4096)
        if not part:
            return said
        said += part
    return b""


def _in_fork(
    parent: int, sink: int, function: Any, target: Any, folder: Path, seed: int, until_s: float
) -> None:
    """Do the work and leave without running what the parent would run at its end; die with the parent."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    faulthandler.disable()  # a crash is answered for, its trace helps nobody
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    with contextlib.suppress(Exception):
        counts = _batch(function, target, folder, seed, until_s)
        os.write(sink, json.dumps(counts).encode())
    os._exit(0)


def _batch(function: Any, target: Any, folder: Path, seed: int, until_s: float) -> tuple[int, int]:
    meta, records = compiler().s_tir.meta_schedule, database(folder)
    workload = records.commit_workload(function)
    tried = measured = 0
    for candidate in _candidates(function, target, records, seed):
        if time.monotonic() > until_s:
            break
        tried += 1
        if (seconds := _seconds(candidate, target)) is not None:
            trace, arguments = candidate.sch.trace, candidate.args_info
            records.commit_tuning_record(
                meta.database.TuningRecord(trace, workload, [seconds], target, arguments)
            )
            measured += 1
    return tried, measured


def _candidates(function: Any, target: Any, records: Any, seed: int) -> list[Any]:
    """Return schedules: drawn at random, and from the second batch on changed from the best ones known."""
    meta = compiler().s_tir.meta_schedule
    search = meta.search_strategy.EvolutionarySearch(
        population_size=32, init_measured_ratio=0.5, init_min_unmeasured=12, max_fail_count=4,
        genetic_num_iters=2, genetic_mutate_prob=0.85, genetic_max_fail_count=8, eps_greedy=0.1,
    )  # fmt: skip
    rules = meta.schedule_rule.schedule_rule.ScheduleRule.create("llvm")  # not those that need an intrinsic
    space = meta.space_generator.PostOrderApply(
        sch_rules=rules,
        postprocs=meta.postproc.postproc.Postproc.create("llvm"),
        mutator_probs=meta.mutator.mutator.Mutator.create("llvm"),
    )
    context = meta.TuneContext(
        function,
        target=target,
        space_generator=space,
        search_strategy=search,
        num_threads=1,
        rand_state=1 + seed,
    )
    model = meta.cost_model.RandomModel()
    context.pre_tuning(CANDIDATES, CANDIDATES, context.generate_design_space(), records, model)
    return list(context.generate_measure_candidates() or ())


def _seconds(candidate: Any, target: Any) -> float | None:
    """Return the seconds of one call, or None if the candidate cannot be built or run."""
    from tvm.s_tir.meta_schedule.builder.local_builder import default_build

    tvm = compiler()
    try:
        with quiet():
            library = default_build(candidate.sch.mod, target, None)
        arguments = [tvm.runtime.tensor(_filled(info)) for info in candidate.args_info]
        library["main"](*arguments)
        timer = library.time_evaluator(
            "main", tvm.cpu(), number=1, repeat=_REPEATS, min_repeat_ms=round(1e3 * _SHORTEST_S)
        )
        return float(numpy.min(timer(*arguments).results))
    except Exception:  # noqa: BLE001 - what LLVM refuses is one candidate fewer
        return None


def _filled(info: Any) -> Any:
    _, dtype, shape = info.as_json()
    sizes = [int(size) for size in shape]
    if "float" in dtype:
        return numpy.random.default_rng(0).random(sizes).astype(dtype)
    return numpy.zeros(sizes, dtype)
