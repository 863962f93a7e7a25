"""The two rights tracing needs, and giving up all others."""

from __future__ import annotations

from ..bpf import capabilities

KEPT = (capabilities.CAP_BPF, capabilities.CAP_PERFMON)


def can_trace() -> bool:
    """Return whether this process holds the two capabilities tracing needs."""
    return capabilities.held(KEPT)


def drop() -> None:
    """Keep CAP_BPF and CAP_PERFMON only, for good, as user ``nobody``.

    Raises
    ------
    NoPrivilege
        If they are not there to keep, or the kernel refuses a step.
    """
    capabilities.drop(KEPT)
