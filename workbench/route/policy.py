"""Which request goes to the canary, and when the canary has spent its budget: pure integer arithmetic.

Every implementation of a route (the user-space proxy today, a program in the kernel later) must decide
exactly as this module does; ``tests/route/vectors.json`` holds the cases they share. So nothing here uses a
clock, a random number, a float in a decision or anything wider than 64 bits.

**Split.** Request number ``n`` goes to the canary when the n-th member of a Weyl sequence with the golden
ratio's step lies below the weight. Such a sequence fills the interval evenly: of *any* run of requests the
canary's share is off by less than :data:`MAX_DEVIATION` requests, so 10 % is 10 % over 50 requests too, while
no client that sends its requests in a rhythm can meet the same track every time.

**Budget.** Time windows with a minimum number of samples fail when they matter, because a slow canary yields
few samples. So the last 64 requests of each track are bits of one word, and the canary is rolled back when it
has `breaches` more bad bits than the stable track: noise of the host hits both tracks and never counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..codec import register
from ..errors import InputError

WHOLE = 10_000
"""A weight is a share in ten-thousandths: 1,000 is 10 %."""

WINDOW = 64
"""Requests of a track that are remembered, one bit each."""

MAX_DEVIATION = 6
"""How many requests a canary's count may differ from its exact share, over any run of up to 100,000."""

_STEP = 2_654_435_769  # 2**32 divided by the golden ratio, rounded to odd
_START = 2**31  # in the middle, so that the very first request is nobody's by default
_MASK32 = 2**32 - 1
_MASK64 = 2**64 - 1

TrackName = Literal["stable", "canary"]


def pick(ticket: int, weight: int) -> TrackName:
    """Return the track of request number `ticket`.

    Parameters
    ----------
    ticket
        A counter that goes up by one with each request; it may start anywhere and wraps at 2**32.
    weight
        The canary's share in ten-thousandths, 0 to 10,000.

    Examples
    --------
    >>> [pick(n, 1_000) for n in range(50)].count("canary")
    5
    """
    return "canary" if (ticket * _STEP + _START & _MASK32) < (weight << 32) // WHOLE else "stable"


def weight_of(share: float) -> int:
    """Return a share between 0 and 1 as a weight.

    Raises
    ------
    InputError
        If it is not a number between 0 and 1.

    Examples
    --------
    >>> weight_of(0.1)
    1000
    """
    if not 0 <= share <= 1:  # a NaN fails this too
        raise InputError(
            f"a canary's share is between 0 and 1, not {share!r}", where="canary", fix="--canary 10%"
        )
    return round(share * WHOLE)


@register("route_budget")
@dataclass(frozen=True)
class Budget:
    """What a canary may spend before it is rolled back.

    A limit that is ``None`` is learnt or set by the route in the kernel, and off in the user-space proxy.

    Parameters
    ----------
    breaches
        Bad requests out of the last 64, beyond those of the stable track in its last 64.
    latency_ms
        A request slower than this is bad too. The kernel counts service time: from the request's last read to
        the first byte of its answer, without waits for a processor; learnt from the stable track by default.
        Seen from the proxy, latency includes the queue in front of the replica, so it is off by default there.
    jitter_ms
        A wait for a processor longer than this is bad, again out of the last 64; off by default.
    memory_bytes
        Growth of a replica's anonymous memory since it got traffic.
    hang_ms
        How long a replica may leave requests unread, or several unanswered.
    syscalls
        System calls the canary may not make; ``None`` is the route's own list.
    cuda_errors
        CUDA calls of a replica that may not fail: at this many it goes. Off by default, kernel only.
    cuda_launches
        Launches of a replica between two answers; off by default, kernel only.
    """

    breaches: int = 8
    latency_ms: float | None = None
    jitter_ms: float | None = None
    memory_bytes: int | None = None
    hang_ms: float | None = None
    syscalls: tuple[str, ...] | None = None
    cuda_errors: int | None = None
    cuda_launches: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.breaches <= WINDOW:
            raise InputError(
                f"a budget allows 1 to {WINDOW} breaches, not {self.breaches}", where="budget", fix="8"
            )
        for count in (self.cuda_errors, self.cuda_launches):
            if count is not None and not 1 <= count < 2**32:
                raise InputError(f"a budget of {count} CUDA calls", where="budget", fix="cuda_errors<1")

    @property
    def limits_cuda(self) -> bool:
        """Whether CUDA calls are limited."""
        return self.cuda_errors is not None or self.cuda_launches is not None


@register("route_verdict")
@dataclass(frozen=True)
class Verdict:
    """Why a canary must go: `observed` bad requests of the last 64 against `stable` + `budget`.

    For a trigger that counts no requests, `observed` and `budget` are in its own unit: nanoseconds (hang), pages
    (memory), the number of the system call (syscall), the exit status (crash), calls (cuda_launches, and cuda_errors,
    where `stable` is the last error's code).

    Parameters
    ----------
    breach_ns, flip_ns
        When the breach was seen and when the traffic was gone, CLOCK_MONOTONIC nanoseconds; 0 when unknown.
    decided_ns
        The latter in nanoseconds since the epoch; 0 when unknown.
    pid, command
        Of the guilty replica.
    """

    reason: str
    observed: int
    stable: int
    budget: int
    breach_ns: int = 0
    flip_ns: int = 0
    decided_ns: int = 0
    pid: int = 0
    command: str = ""


@dataclass
class Window:
    """The last 64 outcomes of one track as the bits of a word."""

    bits: int = 0

    def add(self, bad: bool) -> None:
        """Remember one outcome and forget the oldest."""
        self.bits = (self.bits << 1 | bad) & _MASK64

    @property
    def bad(self) -> int:
        """How many of the remembered outcomes were bad."""
        return self.bits.bit_count()


def _pair() -> dict[TrackName, Window]:
    return {"stable": Window(), "canary": Window()}


@dataclass
class Sentinel:
    """Watches both tracks and says, once, that the canary must go.

    Examples
    --------
    >>> sentinel = Sentinel(Budget(breaches=2))
    >>> sentinel.observe("canary", error=True)
    >>> verdict = sentinel.observe("canary", error=True)
    >>> verdict.reason, verdict.observed, verdict.stable, verdict.budget
    ('errors', 2, 0, 2)
    """

    budget: Budget = field(default_factory=Budget)
    errors: dict[TrackName, Window] = field(default_factory=_pair)
    slow: dict[TrackName, Window] = field(default_factory=_pair)
    tripped: bool = False

    def observe(self, track: TrackName, *, error: bool, latency_ms: float = 0.0) -> Verdict | None:
        """Take in one finished request; return a verdict when this one spends the budget."""
        self.errors[track].add(error)
        limit = self.budget.latency_ms
        self.slow[track].add(limit is not None and latency_ms > limit)
        if self.tripped:
            return None
        verdict = self._judge("errors", self.errors) or self._judge("latency", self.slow)
        self.tripped = verdict is not None
        return verdict

    def _judge(self, reason: str, seen: dict[TrackName, Window]) -> Verdict | None:
        canary, stable = seen["canary"].bad, seen["stable"].bad
        if canary < stable + self.budget.breaches:
            return None
        return Verdict(reason, canary, stable, self.budget.breaches)
