"""One request on its way through a replica, whatever it came over.

A transport writes one class of these: how its bytes become a request and how an answer becomes its bytes. Both
run on a worker thread, so that a large body never holds up the event loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from .protocol import InferAnswer, InferRequest, OutputWish


class Exchange(Protocol):
    """What a transport provides for each request."""

    def decode(self) -> InferRequest:
        """Return the request, or raise :class:`~workbench.errors.BadRequest`."""

    def encode(self, answer: InferAnswer, wishes: Sequence[OutputWish]) -> Any:
        """Return the answer as the transport sends it."""


@dataclass(eq=False)
class Job:
    """An exchange in the queue; `request` and `wishes` are there once a worker has decoded it."""

    exchange: Exchange
    future: Future[Any] = field(default_factory=Future)
    request: InferRequest = field(default_factory=lambda: InferRequest({}))
    wishes: tuple[OutputWish, ...] = ()
    decoded: bool = False
