"""What a route does now, and the transitions between such states.

::

    stable ──start_canary──► canary ──promote──► draining ──settle──► stable
       │                        └────roll_back──► rolled-back ──(next push)──► canary | draining
       └──────swap──► draining ──settle──► stable

A state is a frozen value; a transition is a pure function from one to the next. In every phase but `canary`
all requests go to the stable track. `draining` is the track that has just lost its traffic: its replicas may
still be answering, and whoever stops them calls :func:`settle`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from ..codec import register
from ..errors import StagingError
from .policy import WHOLE, WINDOW, Budget, TrackName, Verdict

Phase = Literal["stable", "canary", "draining", "rolled-back"]

_KEPT_ROLLBACKS = 32


By = Literal["sentinel", "supervisor", "person"]


@register("route_endpoint")
@dataclass(frozen=True)
class Endpoint:
    """One replica's address; `id` names it in counters and logs, `pid` is its process (0 when unknown).

    `grpc_port` is where it answers gRPC; 0 when it does not.
    """

    id: str
    host: str
    port: int
    pid: int = 0
    grpc_port: int = 0

    @property
    def address(self) -> str:
        """Return ``host:port``; unlike the id it changes when the replica's process is replaced."""
        return f"{self.host}:{self.port}"


@register("route_track")
@dataclass(frozen=True)
class Track:
    """The replicas that serve one version."""

    version: int
    endpoints: tuple[Endpoint, ...]


@register("route_rollback")
@dataclass(frozen=True)
class Rollback:
    """Audit record of one roll-back.

    Parameters
    ----------
    version
        The version that lost its traffic.
    by
        Who decided: the `sentinel` of the route, the `supervisor` of its replicas, or a `person`.
    reason, observed, stable, budget, window
        The evidence: `observed` bad requests out of the last `window` of the canary, against `stable` bad
        ones of the stable track plus `budget`.
    decided_ns
        When, in nanoseconds since the epoch.
    breach_ns, flip_ns
        When the kernel saw the breach and when the traffic was gone (CLOCK_MONOTONIC); 0 when not decided there.
    pid, command
        The guilty replica's process, when one is to blame.
    """

    version: int
    by: By
    reason: str
    decided_ns: int
    observed: int = 0
    stable: int = 0
    budget: int = 0
    window: int = WINDOW
    breach_ns: int = 0
    flip_ns: int = 0
    pid: int = 0
    command: str = ""

    def evidence(self) -> str:
        """Return the evidence as a sentence."""
        spent = {
            "hang": f"nothing for {self.observed / 1e6:.1f} ms, budget {self.budget / 1e6:.1f} ms",
            "memory": f"grew by {self.observed >> 8} MiB, budget {self.budget >> 8} MiB",
            "syscall": f"system call {self.observed}",
            "crash": f"its process {self.pid} died",
            "cuda_errors": f"{self.observed} failed CUDA call(s), the last with {self.stable}, budget {self.budget}",
            "cuda_launches": f"{self.observed} CUDA launches without an answer, budget {self.budget}",
        }
        counted = f"{self.observed} of the last {self.window} bad, budget {self.stable} + {self.budget}"
        return f"{self.reason}, {spent.get(self.reason, counted)}"


@register("route_state")
@dataclass(frozen=True)
class RouteState:
    """Everything a route needs to know.

    Parameters
    ----------
    generation
        Goes up by one with every change.
    weight
        The canary's share in ten-thousandths; 0 unless the phase is `canary`.
    shadow
        Share of the requests that the canary gets copies of, answering nobody; its weight is 0 then.
    """

    phase: Phase = "stable"
    stable: Track | None = None
    canary: Track | None = None
    draining: Track | None = None
    weight: int = 0
    budget: Budget = field(default_factory=Budget)
    rollbacks: tuple[Rollback, ...] = ()
    generation: int = 0
    shadow: int = 0

    def track(self, name: TrackName) -> Track | None:
        """Return the track of this name."""
        return self.stable if name == "stable" else self.canary


def swap(state: RouteState, track: Track) -> RouteState:
    """Give all traffic to `track`; the stable track before it drains."""
    _refuse_canary(state)
    phase: Phase = "draining" if state.stable else "stable"
    return replace(state, phase=phase, stable=track, draining=state.stable, weight=0)


def start_canary(state: RouteState, track: Track, weight: int, budget: Budget | None = None) -> RouteState:
    """Give `track` its share of the traffic, judged by `budget` (by default the one before)."""
    _refuse_canary(state)
    if state.stable is None:
        raise StagingError("there is no stable track to compare a canary with", fix="push without --canary")
    return replace(
        state,
        phase="canary",
        canary=track,
        weight=min(max(weight, 0), WHOLE),
        budget=budget or state.budget,
    )


def start_shadow(state: RouteState, track: Track, share: int, budget: Budget | None = None) -> RouteState:
    """Give `track` copies of this share (of 10,000) of the requests, and no answer to give."""
    return replace(start_canary(state, track, 0, budget), shadow=min(max(share, 0), WHOLE))


def set_weight(state: RouteState, version: int, weight: int) -> RouteState:
    """Change the canary's share, if `version` is still the canary."""
    if state.canary is None or state.canary.version != version:
        return state
    return replace(state, weight=min(max(weight, 0), WHOLE))


def promote(state: RouteState) -> RouteState:
    """Make the canary the stable track; the stable track before it drains.

    Raises
    ------
    StagingError
        If there is no canary.
    """
    if state.canary is None:
        raise no_canary(state)
    return replace(
        state, phase="draining", stable=state.canary, canary=None, draining=state.stable, weight=0, shadow=0
    )


def roll_back(
    state: RouteState, *, decided_ns: int, evidence: Verdict | str = "asked for", by: By = "person"
) -> RouteState:
    """Take all traffic from the canary and record why.

    Parameters
    ----------
    decided_ns
        Nanoseconds since the epoch.
    evidence
        The sentinel's verdict, or a reason in words.
    by
        Who decided.

    Raises
    ------
    StagingError
        If there is no canary.
    """
    if state.canary is None:
        raise no_canary(state)
    record = Rollback(state.canary.version, by, str(evidence), decided_ns)
    if isinstance(evidence, Verdict):
        record = replace(
            record,
            reason=evidence.reason,
            observed=evidence.observed,
            stable=evidence.stable,
            budget=evidence.budget,
            breach_ns=evidence.breach_ns,
            flip_ns=evidence.flip_ns,
            pid=evidence.pid,
            command=evidence.command,
        )
    return replace(
        state,
        phase="rolled-back",
        canary=None,
        draining=state.canary,
        weight=0,
        shadow=0,
        rollbacks=(*state.rollbacks, record)[-_KEPT_ROLLBACKS:],
    )


def settle(state: RouteState) -> RouteState:
    """Forget the drained track: its replicas are gone."""
    return replace(state, draining=None, phase="stable" if state.phase == "draining" else state.phase)


def with_endpoints(state: RouteState, version: int, endpoints: tuple[Endpoint, ...]) -> RouteState:
    """Replace the addresses of one version, wherever it stands (a replica came back on another port)."""

    def moved(track: Track | None) -> Track | None:
        return replace(track, endpoints=endpoints) if track and track.version == version else track

    return replace(
        state, stable=moved(state.stable), canary=moved(state.canary), draining=moved(state.draining)
    )


def no_canary(state: RouteState) -> StagingError:
    """Return the error for a promote or roll-back without a canary; says what happened to the last one."""
    if state.phase == "rolled-back" and state.rollbacks:
        last = state.rollbacks[-1]
        asked = last.by == "person"
        return StagingError(
            f"version {last.version} was already rolled back" + ("" if asked else f" ({last.reason})"),
            where="as a person asked" if asked else f"decided by the {last.by}",
            fix="push a new version with --canary 10%",
        )
    return StagingError("there is no canary", fix="push a new version with --canary 10%")


def _refuse_canary(state: RouteState) -> None:
    if state.canary is not None:
        raise StagingError(
            f"version {state.canary.version} is still a canary",
            where=f"{state.weight / WHOLE:.0%} of the traffic",
            fix="promote it or roll it back first",
        )
