"""What a replica does for its transports: the model, its queue, its counters, and who may ask for what.

::

    transport ──> Service.infer(exchange) ──> pool (bounded) ──> model (batches) ──> transport

A transport knows bytes and sockets, and nothing of models; a new one is one file in ``transports/``.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from .. import __version__
from ..errors import BadRequest, InputError, WorkbenchError
from .drain import Drain
from .exchange import Exchange
from .metrics import Metrics
from .model import ServedModel
from .pool import Pool
from .shared_memory import Regions
from .spans import SpanFile
from .telling import tell
from .trace_context import TraceContext

_log = logging.getLogger(__package__)


class Transport(Protocol):
    """One more way to reach a replica, beside HTTP."""

    async def start(self) -> dict[str, Any]:
        """Accept requests; return what the ready file says of it."""

    async def stop(self, grace_s: float) -> None:
        """Accept no more, let what is in flight finish within `grace_s`, close everything."""


@dataclass
class Service:
    """Everything one replica's transports share.

    Parameters
    ----------
    max_body_bytes
        A larger request is refused by every transport.
    regions
        Shared memory of clients; ``None`` where it was not asked for.
    identity
        Who answers, as ``x-mlops-...`` headers or metadata.
    spans
        Where requests are written as spans; ``None`` where that was not asked for.
    """

    model: ServedModel
    pool: Pool
    drain: Drain
    metrics: Metrics
    max_body_bytes: int
    regions: Regions | None = None
    identity: dict[str, str] = field(default_factory=dict)
    spans: SpanFile | None = None

    def who(self) -> dict[str, str]:
        """Return who answers now: a route in the kernel says on which track this replica serves."""
        track = self.drain.track
        return {**self.identity, "x-mlops-track": track} if track else self.identity

    def metadata(self) -> dict[str, Any]:
        """Return the protocol's server metadata."""
        extensions = ["binary_tensor_data"] + (["system_shared_memory"] if self.regions is not None else [])
        return {"name": "mlops-workbench", "version": __version__, "extensions": extensions}

    @property
    def ready(self) -> bool:
        """Whether requests are wanted: not while the replica is drained."""
        return not self.drain.active

    def check_model(self, name: str, version: str, where: str) -> None:
        """Raise :class:`BadRequest` (404) unless this is the model served here; no version means any."""
        if (name, version or self.model.version) != (self.model.name, self.model.version):
            raise BadRequest(
                f"no model {name!r} version {version or self.model.version!r}",
                where=where,
                fix=f"this replica serves {self.model.name!r} version {self.model.version!r}",
                status=404,
            )

    async def infer(self, exchange: Exchange) -> Any:
        """Return the answer to an exchange, as its transport sends it."""
        return await self.pool.run(exchange)

    def need_regions(self) -> Regions:
        """Return the shared memory regions, or raise :class:`BadRequest` (404) where there are none."""
        if self.regions is None:
            raise BadRequest(
                "shared memory is off", fix="start the replica with --shared-memory PREFIX", status=404
            )
        return self.regions

    def finished(self, trace: TraceContext, status: int, start_s: float, transport: str = "http") -> None:
        """Count an inference that was answered, and log it where somebody will look for it.

        A line for each request would cost more than many a model. Refused and failed requests are logged, and
        those whose caller sampled them (the trace context's flag), so that one trace can be followed; each of
        these is a span too, where spans are written.
        """
        seconds = time.perf_counter() - start_s
        self.metrics.end(status, seconds)
        if transport == "grpc" and self.drain.in_kernel:
            tell(status, seconds)
        if status >= 400 or trace.sampled:
            track = self.who().get("x-mlops-track", "")
            facts = {**trace.facts(), "transport": transport, "status": status}
            facts |= {"duration_ms": round(seconds * 1e3, 3), "serving_track": track}
            if self.spans is not None:
                self.spans.write(trace, transport, status, seconds, track)
            _log.log(logging.WARNING if status >= 500 else logging.INFO, "request", extra={"facts": facts})


def status_of(error: Exception) -> int:
    """Return the HTTP status of a failure: its own, else 400 (the caller's fault) or 500 (ours)."""
    if not isinstance(error, WorkbenchError):
        return 500
    return int(error.fields.get("status", 400 if isinstance(error, BadRequest | InputError) else 500))
