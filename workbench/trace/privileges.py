"""The two rights tracing needs, and giving up all others."""

from __future__ import annotations

from ..bpf import capabilities

KEPT = (capabilities.CAP_BPF, capabilities.CAP_PERFMON)
ENFORCING = (*KEPT, capabilities.CAP_NET_ADMIN)
"""Refusing a connect is a network matter."""


def can_trace(*, enforce: bool = False) -> bool:
    """Return whether this process holds the capabilities tracing (and refusing connects) needs."""
    return capabilities.held(ENFORCING if enforce else KEPT)


def drop(*, enforce: bool = False) -> None:
    """Keep CAP_BPF and CAP_PERFMON (to enforce also CAP_NET_ADMIN) only, for good, as user ``nobody``.

    Raises
    ------
    NoPrivilege
        If they are not there to keep, or the kernel refuses a step.
    """
    capabilities.drop(ENFORCING if enforce else KEPT)
