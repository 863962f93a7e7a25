"""The probes: which object each one is, what it attaches, which tables it leaves.

A new probe is one ``bpf/<name>.bpf.c``, one entry here, and a reader of its records or tables in
:mod:`workbench.trace.tiers.bpf`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import InputError


@dataclass(frozen=True)
class Probe:
    """One probe.

    Parameters
    ----------
    name
        What users type; also the object's name.
    what
        One line for help texts.
    tracepoints
        Programs that attach where their section says.
    clock
        The program that runs at each tick of the sampling clock, if any.
    tables
        Maps to send when tracing ends.
    functions, returns
        Programs that attach to the entry, or the return, of functions the client names.
    cgroup
        Programs that attach to the root of the cgroup tree.
    """

    name: str
    what: str
    tracepoints: tuple[str, ...] = ()
    clock: str = ""
    tables: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    returns: tuple[str, ...] = ()
    cgroup: tuple[str, ...] = ()


PROBES = {
    probe.name: probe
    for probe in (
        Probe("cpu", "CPU time by Python line and native function", clock="handle_cpu"),
        Probe(
            "sched",
            "run-queue latency by thread",
            tracepoints=("handle_wakeup", "handle_wakeup_new", "handle_switch"),
            tables=("waits",),
        ),
        Probe("faults", "page faults by Python line", tracepoints=("handle_fault",), tables=("faults",)),
        Probe(
            "syscalls",
            "system calls with latency",
            tracepoints=("handle_enter", "handle_exit"),
            tables=("calls",),
        ),
        Probe(
            "audit",
            "files opened, peers connected to, bytes sent, programs run",
            tracepoints=("handle_return", "handle_birth", "handle_program"),
        ),
        Probe(
            "offcpu",
            "blocked threads by Python line, with who woke them",
            tracepoints=(
                # Leaving first: an interrupt seen to begin must be seen to end, or its CPU never leaves it.
                *(f"{way}_{what}" for way in ("leave", "enter") for what in ("timer", "softirq", "device")),
                *("handle_waking", "handle_block"),
            ),
        ),
        Probe(
            "alloc",
            "memory allocated and still held, by Python line: torch's allocator, mmap, brk",
            tracepoints=("handle_memory",),
            functions=("handle_new", "handle_delete"),
            tables=("held",),
        ),
        Probe(
            "operators",
            "torch operators, compiled kernels and TVM functions: calls and time",
            functions=("handle_operator",),
            tables=("functions",),
        ),
        Probe(
            "cuda",
            "calls of the CUDA driver and runtime: time and bytes",
            functions=("handle_cuda",),
            returns=("handle_cuda_return",),
            tables=("functions", "moved"),
        ),
        Probe(
            "usdt",
            "static probe points of programs and libraries",
            functions=("handle_point",),
            tables=("functions",),
        ),
    )
}

DEFAULT_PROBES = ("cpu", "sched", "faults", "syscalls", "audit")
"""What costs next to nothing and is always worth having."""

ENFORCE = Probe(
    "enforce",
    "refuses peers the policy does not allow",
    tracepoints=("handle_refused",),
    cgroup=("allow_connect4", "allow_connect6", "allow_send4", "allow_send6"),
)

FOLLOW = Probe(
    "follow", "the set of traced processes", tracepoints=("handle_fork", "handle_exec", "handle_process_exit")
)

SHARED_MAPS = ("targets", "ring", "lost", "known_stacks", "thread_states", "frame_rules", "rules_in_use")

LOST_REASONS = (
    "records (ring buffer full)",
    "processes (too many)",
    "waits (too many threads, or not shown)",
    "system calls (too many kinds)",
    "faults (too many processes)",
    "stacks (too many distinct ones)",
    "blocked intervals (too many threads, or not shown)",
    "allocations (too many live blocks)",
    "calls (too many functions or threads)",
)
"""What each slot of the ``lost`` map counts; the order of ``enum lost_reason``."""


def choose(names: Iterable[str]) -> tuple[Probe, ...]:
    """Return probes by name, in the order given.

    Raises
    ------
    InputError
        If a name is unknown or none is given.

    Examples
    --------
    >>> [probe.name for probe in choose(["sched", "cpu"])]
    ['sched', 'cpu']
    """
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in PROBES]
    if unknown or not wanted:
        raise InputError(
            f"no probe is called {', '.join(map(repr, unknown))}" if unknown else "no probe given",
            where="probes",
            fix="probes: " + ", ".join(PROBES),
        )
    return tuple(PROBES[name] for name in wanted)
