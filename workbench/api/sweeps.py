"""Sweeps: many schemes and backends for one program, the hopeless stopped early, the rest side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .. import codec
from ..errors import InputError
from ..pipeline.naming import compiled_name, name_of, variant_name
from ..pipeline.result import Result
from ..render.table import Cell, Table
from ..store import Store, Trial

if TYPE_CHECKING:
    from ..pipeline.sweep import SweepOutcome, SweepPlan

_COLUMNS = ("trial", "state", "score", "of the data", "latency ms", "MB", "why")


def sweep(
    artifact: str = "",
    *,
    schemes: Sequence[str] = ("int8", "int4", "ternary"),
    backends: Sequence[str] = ("auto",),
    evaluate: Callable[..., Any] | None = None,
    max_drop: float | None = None,
    calibrate: Any = None,
    preprocess: Callable[..., Any] | None = None,
    budget: float | None = None,
    rungs: Sequence[float] | None = None,
    at_once: int = 0,
    threads: int = 1,
    executor: str = "local",
    resume: str = "",
    say: Callable[[str], None] | None = None,
    store: Store | None = None,
) -> Result:
    """Try schemes and backends on a program and put what passes side by side.

    Parameters
    ----------
    artifact
        The captured program.
    schemes, backends
        What to combine; ``auto`` means those that :func:`choose` would race a scheme in.
    evaluate
        Called with a session, returns a number, higher is better. If it also takes ``fraction`` (a share of its
        data in (0, 1]), trials are first scored on small parts and hopeless ones stopped (successive halving).
    max_drop
        Refuse what scores lower than the program by more than this.
    calibrate, preprocess
        As for :func:`workbench.quantize`.
    budget
        Seconds; what was reached by then is kept, and `resume` goes on.
    rungs
        Shares of the data, rising to 1; by default 1/9, 1/3, 1 where `evaluate` takes a fraction, else just 1.
    at_once
        Trials at the same time; by default one a processor, on a Ray cluster one a processor of all its nodes.
    threads
        Threads of the sessions.
    executor
        Where trials run; ``ray`` starts one node for the whole sweep.
    resume
        Id of a sweep that was interrupted, stopped or cancelled: go on with it. It keeps its plan.
    say
        Told what happens, a line at a time.

    Returns
    -------
    Result
        ``.id``, ``.state`` (``done`` or ``stopped``), ``.trials`` by key, ``.best`` (the names on the Pareto front of
        score and size) and ``.compared``. What passed is named ``program:scheme/backend``.

    Raises
    ------
    InputError, UnknownBackend
        If there is nothing to try, or no evaluation function.
    RunError
        If the sweep is driven by another process.
    KeyboardInterrupt
        If it was interrupted; `resume` goes on.
    """
    from ..pipeline.sweep import Sweep

    store = store or Store()
    if resume:
        row = store.sweeps.get(resume)
        plan, id = codec.from_json(row.plan), resume
    else:
        plan = _plan(
            store,
            artifact,
            schemes,
            backends,
            evaluate,
            max_drop,
            calibrate,
            preprocess,
            rungs,
            threads,
            executor,
        )
        id = _create(store, artifact, plan)
    tell = say or (lambda _: None)
    outcome = Sweep(store, id, plan, budget_s=budget, at_once=at_once, say=tell).drive()
    return _result(store, plan, outcome)


def sweeps(*, limit: int = 20, store: Store | None = None) -> Result:
    """List the newest sweeps."""
    store = store or Store()
    rows = []
    for row in store.sweeps.list(limit):
        trials = [trial for trial in store.sweeps.trials(row.id) if trial.state != "baseline"]
        ended = sum(trial.state not in ("pending", "running") for trial in trials)
        rows.append((row.id, row.title, row.state, f"{ended}/{len(trials)}"))
    return Result(f"{len(rows)} sweeps", (Table(("sweep", "what", "state", "ended"), rows),), store=store)


def _plan(
    store: Store,
    artifact: str,
    schemes: Sequence[str],
    backends: Sequence[str],
    evaluate: Callable[..., Any] | None,
    max_drop: float | None,
    calibrate: Any,
    preprocess: Callable[..., Any] | None,
    rungs: Sequence[float] | None,
    threads: int,
    executor: str,
) -> SweepPlan:
    from ..pipeline import callables, data
    from ..pipeline.preprocess import batches
    from ..pipeline.steps.score import takes_fraction
    from ..pipeline.sweep.plan import SweepPlan, trials_of

    if not artifact:
        raise InputError("a sweep needs a program", where="sweep", fix="%mlops sweep minilm --eval FN")
    if evaluate is None:
        raise InputError("a sweep needs an evaluation function", where="--eval", fix="give --eval FN")
    program = store.names.resolve(artifact)
    shares = tuple(rungs or ((1 / 9, 1 / 3, 1.0) if takes_fraction(evaluate) else (1.0,)))
    if list(shares) != sorted(set(shares)) or shares[-1] != 1 or shares[0] <= 0:
        raise InputError(f"{shares} are no rising shares that end with 1", where="rungs", fix="0.1,0.3,1")
    if shares != (1.0,) and not takes_fraction(evaluate):
        raise InputError(
            "the evaluation function cannot be asked for a part of its data",
            where="rungs",
            fix="let it take a keyword: def accuracy(session, fraction=1.0)",
        )
    prepared = None if calibrate is None else batches(store, program, calibrate, preprocess)
    return SweepPlan(
        program,
        trials_of(tuple(schemes), tuple(backends)),
        callables.send(store, evaluate),
        max_drop,
        "" if prepared is None else data.put(store, prepared),
        shares,
        threads=threads,
        executor=executor,
        base=str(name_of(store, artifact)),
    )


def _create(store: Store, artifact: str, plan: SweepPlan) -> str:
    from ..pipeline.sweep.plan import BASELINE

    return store.sweeps.create(f"sweep {artifact}", codec.to_json(plan), [BASELINE, *plan.trials])


def _result(store: Store, plan: SweepPlan, outcome: SweepOutcome) -> Result:
    from ..pipeline.sweep.halving import Standing, front
    from ..pipeline.sweep.plan import BASELINE
    from ..pipeline.sweep.sweep import facts_of

    known = {trial.key: facts_of(trial) for trial in outcome.trials}
    size = sum(entry.size_bytes for entry in store.artifacts.manifest(plan.program).files)
    compared: list[dict[str, Any]] = []
    for trial in outcome.trials:
        facts = known[trial.key]
        if trial.state in ("done", "refused", "baseline"):
            bytes_ = size if trial.key == BASELINE else facts["size_bytes"]
            point = {"name": _name(store, plan, trial), "score": facts["score"], "size_bytes": bytes_}
            compared.append({**point, "latency_ms": facts.get("latency_ms"), "kind": trial.state})
    passed = [
        Standing(one["name"], one["score"], 0.0, one["size_bytes"])
        for one in compared
        if one["kind"] == "done"
    ]
    best = [one.key for one in front(passed)]
    details = {
        "id": outcome.id,
        "state": outcome.state,
        "trials": {trial.key: {"state": trial.state, **known[trial.key]} for trial in outcome.trials},
        "compared": compared,
        "best": best,
    }
    rows = [_row(trial, known[trial.key]) for trial in outcome.trials]
    note = f"on the Pareto front of score and size: {', '.join(best) or 'nothing passed'}"
    if outcome.state != "done":
        note += f"; go on: %mlops sweep --resume {outcome.id}"
    title = f"sweep {outcome.id}: {outcome.state}"
    return Result(title, (Table(_COLUMNS, rows, note=note),), details=details, store=store)


def _name(store: Store, plan: SweepPlan, trial: Trial) -> str:
    """Name what passed as the verbs would, and return what to call a trial in the picture."""
    if trial.state != "done":
        return trial.key
    scheme, _, backend = trial.key.partition("/")
    variant = variant_name(store, plan.base, scheme)
    store.names.set(variant, trial.facts["variant"])
    compiled = compiled_name(store, variant, backend)
    store.names.set(compiled, trial.facts["compiled"])
    return compiled


def _row(trial: Trial, facts: Any) -> tuple[Cell, ...]:
    size = facts.get("size_bytes")
    share = f"{100 * facts['rung']:.3g} %" if facts["rung"] else None
    megabytes = None if size is None else size / 1e6
    return (
        trial.key,
        trial.state,
        facts["score"],
        share,
        facts.get("latency_ms"),
        megabytes,
        facts.get("why", ""),
    )
