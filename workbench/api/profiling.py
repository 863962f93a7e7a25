"""Run a workload on an artifact under the tracer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..pipeline.naming import compiled_of
from ..pipeline.result import Result
from ..store import Store

if TYPE_CHECKING:
    from ..session import Session


def profile(
    artifact: str,
    run: Callable[[Session], Any],
    *,
    probes: Sequence[str] = ("cpu", "sched", "faults", "syscalls"),
    hz: int = 99,
    threads: int = 1,
    store: Store | None = None,
) -> Result:
    """Call `run` with a session of the artifact, traced as well as this machine allows.

    Parameters
    ----------
    artifact
        A compiled artifact, or a program or variant that was compiled.
    run
        The workload; a ``%%mlops profile`` cell is one whose variable ``session`` is the argument.
    probes
        Any of ``cpu sched faults syscalls``.
    hz
        CPU samples a second.
    threads
        Threads of the session.

    Returns
    -------
    Result
        Tables and flame graph; ``.report`` is the trace's report, ``.tier`` says how it was traced.

    Raises
    ------
    UnknownArtifact
        If the artifact is not there, or was never compiled.
    """
    from .. import trace
    from ..compile import load

    store = store or Store()
    digest = compiled_of(store, artifact)
    session = load(store.artifacts.path(digest), threads=threads)
    with trace.session(probes=tuple(probes), hz=hz) as recorder:
        run(session)
    report = trace.TraceReport(recorder.trace)
    details = {"report": report, "tier": recorder.trace.meta.tier}
    return Result(f"profile of {artifact}", digest=digest, pictures=(report,), details=details, store=store)
