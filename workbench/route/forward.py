"""Send each request to a replica: choose a track and a replica, try again elsewhere, count, judge.

An inference changes nothing on a replica, so a request whose connection dies before an answer is known is
sent to another one, and the client sees nothing of it: killing a replica loses no request while another
lives.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable

from .http1 import Head
from .meters import TrackMeter
from .policy import Sentinel, TrackName, Verdict, pick
from .shadow import Audit
from .state import Endpoint, RouteState
from .upstream import Answer, ConnectionDied, Upstream, request_bytes, rest_of

MOST_COPIES = 16
"""Copies under way at once; a shadow that is slower gets fewer, and the stable track never waits."""

OnVerdict = Callable[[Verdict], None]


class NoReplica(Exception):
    """Raised when no replica of any track that may answer is alive."""


class Forwarder:
    """The splitter of a route.

    Parameters
    ----------
    state
        What to do first; :meth:`follow` takes the next ones.
    on_verdict
        Called at once when the canary has spent its budget; must change what :meth:`follow` was given.
    answer_timeout_s
        A replica that is silent for so long has failed the request (504, not repeated).
    """

    def __init__(self, state: RouteState, on_verdict: OnVerdict, *, answer_timeout_s: float = 60.0) -> None:
        self.state = state
        self.meters: dict[TrackName, TrackMeter] = {"stable": TrackMeter(), "canary": TrackMeter()}
        self.unanswered = 0
        self.audit = Audit()
        self._copies: set[asyncio.Task[None]] = set()
        self.answer_timeout_s = answer_timeout_s
        self._on_verdict = on_verdict
        self._upstreams: dict[Endpoint, Upstream] = {}
        self._sentinel = Sentinel(state.budget)
        self._ticket = 0
        self._turn = 0
        self.follow(state)

    def follow(self, state: RouteState) -> None:
        """Do what `state` says from the next request on."""
        before, self.state = self.state, state
        if (before.canary and before.canary.version) != (state.canary and state.canary.version):
            self._sentinel = Sentinel(state.budget)
        if state.canary and (before.canary is None or before.canary.version != state.canary.version):
            self.meters["canary"] = TrackMeter()
            self.audit = Audit()
        named = {e for t in (state.stable, state.canary, state.draining) if t for e in t.endpoints}
        for endpoint in named - self._upstreams.keys():
            self._upstreams[endpoint] = Upstream(endpoint)
        for endpoint in self._upstreams.keys() - named:
            if not self._upstreams[endpoint].in_flight:
                self._upstreams.pop(endpoint).close()

    def in_flight(self) -> dict[str, int]:
        """Return how many requests each busy replica is answering, by address."""
        return {e.address: u.in_flight for e, u in self._upstreams.items() if u.in_flight}

    async def answer(self, head: Head, body: bytes) -> tuple[TrackName, Upstream, Answer]:
        """Return which track and replica answered a request, and the answer; give a shadow its copy.

        Raises
        ------
        NoReplica
            If nobody could.
        TimeoutError
            If a replica was silent for too long.
        """
        ticket = self._ticket
        track, upstream, answer = await self._answer(head, body)
        if self.state.canary and pick(ticket, self.state.shadow) == "canary":
            self._copy(head, body, answer)
        return track, upstream, answer

    def _copy(self, head: Head, body: bytes, answer: Answer) -> None:
        if answer.rest is not None or len(self._copies) >= MOST_COPIES:
            self.audit.skipped += 1
            return
        task = asyncio.create_task(self._shadow(head, body, answer))
        self._copies.add(task)
        task.add_done_callback(self._copies.discard)

    async def _shadow(self, head: Head, body: bytes, stable: Answer) -> None:
        track, audit = self.state.canary, self.audit
        ends = [self._upstreams[e] for e in track.endpoints] if track else []
        if not ends:
            return
        audit.copied += 1
        message, started_ns = request_bytes(head, body), time.perf_counter_ns()
        try:
            upstream = min(ends, key=lambda u: (u.rests, u.in_flight))
            answer = await self._ask("canary", upstream, head, message, started_ns)
        except (ConnectionDied, TimeoutError):
            audit.count_failed()
            return
        if answer.rest is not None:  # larger than the stable answer: nothing to compare
            answer.rest.writer.transport.abort()
            upstream.in_flight -= 1
            audit.count_unlike()
            return
        # Numbers of a large answer take a moment, and requests must not wait for it.
        await asyncio.to_thread(audit.compare, (stable.head, stable.body), (answer.head, answer.body))

    async def _answer(self, head: Head, body: bytes) -> tuple[TrackName, Upstream, Answer]:
        first = pick(self._ticket, self.state.weight) if self.state.canary else "stable"
        self._ticket = (self._ticket + 1) & 0xFFFF_FFFF
        message, started_ns = request_bytes(head, body), time.perf_counter_ns()
        tried: set[Endpoint] = set()
        refused: tuple[TrackName, Upstream, Answer] | None = None
        while found := self._next(first, tried):
            track, upstream = found
            tried.add(upstream.endpoint)
            try:
                answer = await self._ask(track, upstream, head, message, started_ns)
            except ConnectionDied:
                self.meters[track].retries += 1
                continue
            if answer.head.status != 503 or answer.rest is not None:
                return track, upstream, answer
            refused = track, upstream, answer  # full or draining: another one may have room
        if refused is None:
            self.unanswered += 1
            raise NoReplica
        return refused

    async def _ask(
        self, track: TrackName, upstream: Upstream, head: Head, message: bytes, started_ns: int
    ) -> Answer:
        upstream.in_flight += 1
        answer = None
        try:
            answer = await upstream.exchange(head, message, self.answer_timeout_s)
        finally:
            if answer is None or answer.rest is None:  # else `relay` ends it
                upstream.in_flight -= 1
            error = answer is None or answer.head.status >= 500
            self._count(track, time.perf_counter_ns() - started_ns, error=error)
        return answer

    async def relay(self, upstream: Upstream, answer: Answer) -> AsyncGenerator[bytes, None]:
        """Yield the body of an answer too large to be read whole; must be read or closed.

        Raises
        ------
        ConnectionDied
            If the replica ends it early: the client has seen a part, nothing can be repeated.
        """
        assert answer.rest is not None
        complete = False
        try:
            async for piece in rest_of(answer, answer.rest, self.answer_timeout_s):
                yield piece
            complete = True
        finally:
            upstream.in_flight -= 1
            if complete:
                upstream.release(answer.rest, answer.head)
            else:
                answer.rest.writer.transport.abort()

    def _next(self, first: TrackName, tried: set[Endpoint]) -> tuple[TrackName, Upstream] | None:
        """Return the least busy replica not yet tried: of the chosen track, else of the other one."""
        other: TrackName = "canary" if first == "stable" else "stable"
        for name in (first,) if self.state.shadow else (first, other):  # a shadow answers nobody
            track = self.state.track(name)
            left = [self._upstreams[e] for e in track.endpoints if e not in tried] if track else []
            if left:
                self._turn += 1
                turned = left[self._turn % len(left) :] + left[: self._turn % len(left)]
                return name, min(turned, key=lambda u: (u.rests, u.in_flight))
        return None

    def _count(self, track: TrackName, duration_ns: int, *, error: bool) -> None:
        self.meters[track].finish(duration_ns, error=error)
        verdict = self._sentinel.observe(track, error=error, latency_ms=duration_ns / 1e6)
        if verdict and self.state.phase == "canary":
            self._on_verdict(verdict)
