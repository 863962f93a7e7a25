"""Trace what runs inside a ``with`` block, as well as the machine allows.

::

    bpf      a collector (running, or started for us) has CAP_BPF and CAP_PERFMON
    perf     perf_event_open on ourselves is allowed
    sampler  always

The first that starts is used; why the others were not is kept in the trace.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from ..errors import InputError, TraceError, WorkbenchError
from .builder import machine
from .model import Trace, TraceMeta
from .policy import Policy
from .probes import DEFAULT_PROBES, PROBES, choose
from .symbols.cells import keep_code
from .tiers.base import Tier, Wanted
from .wire import MAX_HEAP_SAMPLE, MAX_HZ


def _bpf(wanted: Wanted) -> Tier:
    from .tiers.bpf import BpfTier

    return BpfTier(wanted)


def _perf(wanted: Wanted) -> Tier:
    from .tiers.perf import PerfTier

    return PerfTier(wanted)


def _sampler(wanted: Wanted) -> Tier:
    from .tiers.sampler import SamplerTier

    return SamplerTier(wanted)


TIERS: dict[str, Callable[[Wanted], Tier]] = {"bpf": _bpf, "perf": _perf, "sampler": _sampler}


class Recorder:
    """A tracing session; made by :func:`session`."""

    def __init__(self, wanted: Wanted, tiers: tuple[str, ...]) -> None:
        self._wanted, self._tiers = wanted, tiers
        self._tier: Tier | None = None
        self._name = ""
        self._reasons: list[str] = []
        self._kept = contextlib.ExitStack()
        self._trace: Trace | None = None

    @property
    def trace(self) -> Trace:
        """What was seen; there after the block ended."""
        if self._trace is None:
            raise TraceError("the trace is ready when the block has ended", where="trace.session")
        return self._trace

    def __enter__(self) -> Self:
        self._kept.enter_context(keep_code())
        try:
            self._start()
        except BaseException:
            self._kept.close()
            raise
        self._began = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        wall_s = time.monotonic() - self._began
        try:
            if self._tier is not None:
                self._finish(self._tier, wall_s)
        finally:
            self._kept.close()

    def _start(self) -> None:
        for name in self._tiers:
            tier = TIERS[name](self._wanted)
            try:
                tier.start()
            except WorkbenchError as error:
                if name == self._tiers[-1]:
                    raise
                self._reasons.append(f"{name}: {error.what}")
                continue
            self._tier, self._name = tier, name
            return

    def _finish(self, tier: Tier, wall_s: float) -> None:
        builder = tier.stop()
        if self._wanted.policy is not None and self._name != "bpf":
            builder.notes.append("the policy was not judged: only tier bpf sees files, peers and programs")
        self._trace = builder.finish(
            TraceMeta(
                tier=self._name,
                reasons=tuple(self._reasons),
                probes=self._wanted.probes,
                hz=self._wanted.hz,
                wall_s=wall_s,
                pid=self._wanted.pid,
                lost=builder.lost,
                notes=tuple(builder.notes),
                processes={str(pid): name for pid, name in builder.processes.items()},
                machine=machine(),
                threads={str(tid): name for tid, name in builder.threads.items()},
            )
        )


def session(
    probes: Iterable[str] = DEFAULT_PROBES,
    hz: int = 99,
    tier: str = "auto",
    pid: int | None = None,
    policy: str | Path | Policy | None = None,
    *,
    enforce: bool = False,
    heap_sample: int = 0,
) -> Recorder:
    """Return a context manager that traces this process (and what it starts) while its block runs.

    Parameters
    ----------
    probes
        Names of :data:`.probes.PROBES`.
    hz
        CPU samples a second and CPU, 1 to 10,000.
    tier
        ``auto`` takes the best the machine allows; ``bpf``, ``perf`` or ``sampler`` that one or an error.
    pid
        Another process of the same user; None for this one.
    policy
        What may be touched (:mod:`.policy`): each audited event gets a verdict.
    enforce
        Also refuse connects the policy does not allow. A policy cannot be half enforced: then only the ``bpf``
        tier will do.
    heap_sample
        Probe ``alloc``: follow one block of torch's allocator in about so many bytes, as heap samplers do, with a
        probability in proportion to its size; sums are unbiased estimates, blocks of this size and more exact.
        0 follows every block.

    Raises
    ------
    InputError
        If an argument is not one of these.
    NoPrivilege
        On entry, if the kernel does not allow the tier that was asked for.

    Examples
    --------
    >>> with session(tier="sampler") as recorder:
    ...     total = sum(range(10))
    >>> recorder.trace.meta.tier
    'sampler'
    """
    names = tuple(probe.name for probe in choose(probes))
    if not isinstance(hz, int) or not 1 <= hz <= MAX_HZ:
        raise InputError(f"hz is {hz!r}, expected a whole number from 1 to {MAX_HZ:,}", where="hz")
    if tier != "auto" and tier not in TIERS:
        raise InputError(f"no tier is called {tier!r}", where="tier", fix="tiers: auto, " + ", ".join(TIERS))
    rules = Policy.load(policy) if isinstance(policy, str | Path) else policy
    if rules is not None and "audit" not in names:
        names = (*names, "audit")
    if enforce and (rules is None or rules.hosts is None):
        raise InputError(
            "there is nothing to enforce: connects are refused by the [hosts] of a policy",
            where="enforce",
            fix='write [hosts] allow = ["127.0.0.1"] into policy.toml and give --policy policy.toml',
        )
    if not isinstance(heap_sample, int) or not 0 <= heap_sample <= MAX_HEAP_SAMPLE:
        raise InputError(
            f"heap_sample is {heap_sample!r}, expected bytes, 0 to {MAX_HEAP_SAMPLE:,}", where="heap_sample"
        )
    wanted = Wanted(names, hz, os.getpid() if pid is None else pid, rules, enforce, heap_sample)
    if tier == "auto":
        return Recorder(wanted, ("bpf",) if enforce else tuple(TIERS))
    return Recorder(wanted, (tier,))


__all__ = ["DEFAULT_PROBES", "PROBES", "TIERS", "Recorder", "session"]
