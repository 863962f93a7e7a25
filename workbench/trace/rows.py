"""The rows of a trace: one frozen record for each thing a probe can see."""

from __future__ import annotations

from dataclasses import dataclass

from .latency import Latency

NO_STACK = -1
"""Index of a stack that was not taken."""


@dataclass(frozen=True)
class Frame:
    """One line of Python or one native function.

    Parameters
    ----------
    kind
        ``python`` or ``native``.
    name
        Qualified name of the function, demangled.
    file
        ``In[3]`` for a notebook cell, else the source file or library.
    line
        1-based line; 0 when unknown.
    cell
        Execution count of the cell; 0 when it is not one.
    text
        The source line.
    """

    kind: str
    name: str
    file: str
    line: int = 0
    cell: int = 0
    text: str = ""


@dataclass(frozen=True)
class Sample:
    """One stack.

    Parameters
    ----------
    kind
        ``cpu`` or ``fault``.
    time_ns
        Since the trace began.
    pid, tid
        Process and thread.
    value
        What it stands for: CPU seconds, or page faults.
    stack
        Index into ``Trace.stacks``.
    """

    kind: str
    time_ns: int
    pid: int
    tid: int
    value: float
    stack: int


@dataclass(frozen=True)
class ThreadWaits:
    """Run-queue latency of one thread."""

    pid: int
    tid: int
    thread: str
    latency: Latency


@dataclass(frozen=True)
class RunDelay:
    """A ready thread that waited 0.1 ms or more for a CPU; :class:`ThreadWaits` counts shorter waits too."""

    time_ns: int
    pid: int
    tid: int
    duration_ns: int


@dataclass(frozen=True)
class SystemCall:
    """One kind of system call of one process."""

    pid: int
    name: str
    latency: Latency


@dataclass(frozen=True)
class FaultCount:
    """Exact number of page faults of one process."""

    pid: int
    count: int


@dataclass(frozen=True)
class OffCpu:
    """A thread that was blocked: a lock, a sleep, a read.

    Parameters
    ----------
    time_ns
        When it left the CPU, since the trace began.
    pid, tid
        The blocked thread.
    duration_ns
        Until it ran again (run-queue delay included).
    stack
        Where it blocked, index into ``Trace.stacks``.
    waker_pid, waker_tid, waker
        Who woke it: process, thread and its name; 0 and ``""`` when it was a timer or a device.
    waker_stack
        What the waker was doing; -1 when it is not traced.
    """

    time_ns: int
    pid: int
    tid: int
    duration_ns: int
    stack: int
    waker_pid: int = 0
    waker_tid: int = 0
    waker: str = ""
    waker_stack: int = NO_STACK


@dataclass(frozen=True)
class Allocation:
    """What one stack of one process allocated.

    Parameters
    ----------
    allocator
        ``c10`` (torch's CPU allocator), ``mmap`` or ``brk``.
    pid, stack
        Process; index into ``Trace.stacks``.
    bytes, blocks
        Still held when the trace ended.
    total_bytes, total_blocks
        All that was allocated during the trace.
    """

    allocator: str
    pid: int
    stack: int
    bytes: int
    blocks: int
    total_bytes: int
    total_blocks: int


@dataclass(frozen=True)
class Operator:
    """All calls of one probed function by one process.

    Parameters
    ----------
    family
        ``torch``, ``kernel`` (the workbench's own), ``tvm``, ``cuda`` or ``usdt``.
    pid, name
        Process; the operator, driver call or probe point.
    latency
        How many calls, how long (all zero but the count where only the entry is probed).
    bytes
        Bytes moved or allocated, where the call says; else 0.
    """

    family: str
    pid: int
    name: str
    latency: Latency
    bytes: int = 0


@dataclass(frozen=True)
class OperatorEvent:
    """One call on the time axis. At most the first so many of a trace are kept: :attr:`Operator.latency` counts all.

    Parameters
    ----------
    family, name, pid, tid, bytes
        As in :class:`Operator`.
    time_ns, duration_ns
        Start since the trace began; 0 duration where only the entry is probed.
    stack
        Index into ``Trace.stacks``, or -1.
    """

    family: str
    name: str
    time_ns: int
    duration_ns: int
    pid: int
    tid: int
    bytes: int = 0
    stack: int = NO_STACK


@dataclass(frozen=True)
class AuditEvent:
    """Something a process did with the world outside its memory.

    Parameters
    ----------
    time_ns, pid, tid, parent
        When; process, thread and parent process.
    action
        ``open``, ``connect``, ``send``, ``exec`` or ``syscall``.
    target
        A path, ``127.0.0.1:80``, ``[::1]:80``, ``unix:/path`` or a system call's name.
    bytes
        Sent bytes; for ``open`` the flags.
    error
        0, or the errno it failed with.
    stack
        Index into ``Trace.stacks``, or -1.
    verdict
        ``""`` without a policy, else ``allowed``, ``violation`` or ``denied`` (the kernel refused it for us).
    rule
        What the policy says about it.
    """

    time_ns: int
    pid: int
    tid: int
    parent: int
    action: str
    target: str
    bytes: int = 0
    error: int = 0
    stack: int = NO_STACK
    verdict: str = ""
    rule: str = ""
