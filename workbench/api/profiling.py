"""Run a workload on an artifact under the tracer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..pipeline.environment import code_version
from ..pipeline.naming import compiled_of, name_of
from ..pipeline.result import Result
from ..store import ArtifactDraft, Store
from ..store.blobs import remove_tree

if TYPE_CHECKING:
    from ..session import Session
    from ..trace import Trace


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
        Tables and flame graph; ``.report`` is the trace's report, ``.tier`` says how it was traced. The trace
        itself is the artifact, named ``artifact@profile``.

    Raises
    ------
    UnknownArtifact
        If the artifact is not there, or was never compiled.
    """
    from .. import trace
    from ..compile import load

    store = store or Store()
    compiled = compiled_of(store, artifact)
    session = load(store.artifacts.path(compiled), threads=threads)
    with trace.session(probes=tuple(probes), hz=hz) as recorder:
        run(session)
    report = trace.TraceReport(recorder.trace)
    name = str(replace(name_of(store, artifact), alias="profile"))
    digest = _keep(store, recorder.trace, compiled, name)
    details = {"report": report, "tier": recorder.trace.meta.tier}
    return Result(
        f"profile of {artifact}", digest=digest, name=name, pictures=(report,), details=details, store=store
    )


def _keep(store: Store, trace: Trace, compiled: str, name: str) -> str:
    folder = store.scratch()
    try:
        trace.save(folder)
        digest = store.artifacts.put(
            ArtifactDraft("trace", folder, parents=(compiled,), code=code_version(("trace",)))
        )
    finally:
        remove_tree(folder)
    store.names.set(name, digest)
    return digest
