"""Run a workload under the tracer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..pipeline.environment import code_version
from ..pipeline.naming import compiled_of, name_of
from ..pipeline.result import Result
from ..store import ArtifactDraft, ArtifactName, Store
from ..store.blobs import remove_tree
from ..trace.probes import DEFAULT_PROBES

if TYPE_CHECKING:
    from ..session import Session
    from ..trace import Trace


def profile(
    artifact: str,
    run: Callable[..., Any],
    *,
    name: str = "",
    probes: Sequence[str] = DEFAULT_PROBES,
    hz: int = 99,
    threads: int = 1,
    policy: str = "",
    enforce: bool = False,
    heap_sample: int = 0,
    store: Store | None = None,
) -> Result:
    """Call `run`, traced as well as this machine allows; with a session of an artifact where one is given.

    Parameters
    ----------
    artifact
        A compiled artifact, or a program or variant that was compiled; empty to trace plain code.
    run
        The workload, called with the session, or with nothing where there is no artifact. A
        ``%%mlops profile`` cell is one, which sees the session as ``session``.
    name
        What to call the trace; by default ``artifact@profile``, or ``cell@profile`` for plain code.
    probes
        Names of ``workbench.trace.probes.PROBES``; ``audit`` sees files, peers and programs.
    hz
        CPU samples a second.
    threads
        Threads of the session.
    policy
        File that says what may be touched (``workbench.trace.policy``); each audited event gets a verdict.
    enforce
        Also refuse connects the policy does not allow.
    heap_sample
        Probe ``alloc``: sample torch's blocks, one in about so many bytes; 0 follows every one.

    Returns
    -------
    Result
        Tables, flame graph and timeline; ``.report`` is the trace's report, ``.tier`` says how it was
        traced. The trace itself is the artifact.

    Raises
    ------
    UnknownArtifact
        If the artifact is not there, or was never compiled.
    """
    from .. import trace
    from ..compile import load

    store = store or Store()
    kept_as = (
        str(ArtifactName.parse(name)) if name else ""
    )  # a wrong name is an error before, not after, the run
    given: tuple[Session, ...] = ()
    parents: tuple[str, ...] = ()
    if artifact:
        parents = (compiled_of(store, artifact),)
        given = (load(store.artifacts.path(parents[0]), threads=threads),)
        kept_as = kept_as or str(replace(name_of(store, artifact), alias="profile"))
    with trace.session(
        tuple(probes), hz, policy=policy or None, enforce=enforce, heap_sample=heap_sample
    ) as recorder:
        run(*given)
    kept_as = kept_as or "cell@profile"
    return _result(store, recorder.trace, parents, kept_as, f"profile of {artifact or kept_as}")


def attach(
    pid: int = 0,
    *,
    run: str = "",
    replica: str = "",
    seconds: float = 5.0,
    name: str = "",
    probes: Sequence[str] = DEFAULT_PROBES,
    hz: int = 99,
    policy: str = "",
    enforce: bool = False,
    heap_sample: int = 0,
    store: Store | None = None,
) -> Result:
    """Trace a process that runs already, with its children, for a while; nothing about it changes.

    Parameters
    ----------
    pid
        Its number. Or:
    run
        A run: its running step.
    replica
        A deployment: its first replica, or ``deployment/replica id``.
    seconds
        For how long.
    name
        What to call the trace; by default ``pid-N@profile``.
    probes, hz, policy, enforce, heap_sample
        As in :func:`profile`.

    Raises
    ------
    InputError
        If not exactly one of `pid`, `run` and `replica` is given, or it names nothing that runs.
    NoPrivilege
        If the process belongs to another user, or the kernel does not allow tracing.
    """
    from .. import trace
    from .running import process_of

    store = store or Store()
    target = process_of(store, pid, run, replica)
    kept_as = str(ArtifactName.parse(name or f"pid-{target}@profile"))
    with trace.session(
        tuple(probes), hz, "bpf", target, policy or None, enforce=enforce, heap_sample=heap_sample
    ) as recorder:
        time.sleep(seconds)
    return _result(store, recorder.trace, (), kept_as, f"profile of process {target}")


def _result(store: Store, trace: Trace, parents: tuple[str, ...], name: str, title: str) -> Result:
    from ..trace import TraceReport

    report = TraceReport(trace)
    digest = _keep(store, trace, parents, name)
    details = {"report": report, "tier": trace.meta.tier}
    return Result(title, digest=digest, name=name, pictures=(report,), details=details, store=store)


def _keep(store: Store, trace: Trace, parents: tuple[str, ...], name: str) -> str:
    folder = store.scratch()
    try:
        trace.save(folder)
        digest = store.artifacts.put(
            ArtifactDraft("trace", folder, parents=parents, code=code_version(("trace",)))
        )
    finally:
        remove_tree(folder)
    store.names.set(name, digest)
    return digest
