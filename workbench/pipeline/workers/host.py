"""The driver's end of a host program: orders go in as lines, outcomes come back as lines.

The host is a process of its own, so whatever it loads (Ray, torch) never loads in a notebook, and whatever
happens to it is an error here and no more.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ...errors import RunError, StepFailed, from_json
from .. import child
from .order import Order, Outcome

READY_S = 600.0
"""A program that lives is waited for: Ray loads and connects for half a minute where many share two cores. One that
cannot come up says so and ends long before."""
_LEAVES_S = 5.0


@dataclass(frozen=True)
class Ended:
    """An order that ended: the ticket it was given, and what it left."""

    ticket: int
    outcome: Outcome


class StepHost(Protocol):
    """Whatever runs a walker's orders."""

    def has_room(self, order: Order) -> bool:
        """Return whether an order would start soon."""

    def send(self, ticket: int, order: Order) -> None:
        """Give it an order."""

    def cancel(self, ticket: int) -> None:
        """End an order; it is heard of as ended."""

    def wait(self, timeout_s: float) -> list[Ended]:
        """Return the orders that ended, after at most this many seconds."""

    def close(self) -> None:
        """Let it end."""


class Host:
    """A host program, started with its first order; what it is told before it is ready is kept until it is.

    Parameters
    ----------
    module, arguments
        The program, as for ``python -m``.
    name
        What errors call it.
    environment
        More environment variables.
    """

    def __init__(
        self, module: str, *arguments: str, name: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._command = [sys.executable, "-m", module, *arguments]
        self._environment = {**child.steady(), **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._in = self._out = -1
        self._read = b""
        self._weights: dict[int, float] = {}
        self._room = 0.0
        self._kept: list[dict[str, Any]] = []
        self._dropped: list[Ended] = []
        self._until, self._fatal = 0.0, False

    def has_room(self, order: Order) -> bool:
        """Return whether an order would start soon; an idle host takes any."""
        return not self._weights or sum(self._weights.values()) + (order.cpus or 1.0) <= self._room

    def send(self, ticket: int, order: Order) -> None:
        """Give it an order."""
        if self._process is None:
            self._start()
        self._weights[ticket] = order.cpus or 1.0
        self._say({"ticket": ticket, "order": order.to_json()})

    def cancel(self, ticket: int) -> None:
        """Ask it to end an order; it answers with an outcome that says so."""
        if self._room:
            self._say({"cancel": ticket})
        elif self._weights.pop(ticket, None):
            self._kept = [one for one in self._kept if one["ticket"] != ticket]
            self._dropped.append(Ended(ticket, Outcome(error=StepFailed("it was cancelled").to_json())))

    def wait(self, timeout_s: float) -> list[Ended]:
        """Return the orders that ended, after at most this many seconds.

        Raises
        ------
        RunError
            If the program is gone, or was not ready in time.
        """
        if self._process is None:
            time.sleep(timeout_s)
            return []
        ended, self._dropped = self._dropped, []
        for message in self._messages(0.0 if ended else timeout_s):
            if "fatal" in message:
                self._fatal = True
                self._weights.clear()
                raise from_json(message["fatal"])
            if "ready" in message:
                self._room = message["ready"]
                while self._kept:
                    self._say(self._kept.pop(0))
            if "ended" in message:
                self._weights.pop(message["ended"], None)
                ended.append(Ended(message["ended"], Outcome.of(message["outcome"])))
        if not self._room and time.monotonic() > self._until:
            raise RunError(
                f"{self.name} was not ready within {READY_S:g} s", where=self.name, fix="try again"
            )
        return ended

    def close(self) -> None:
        """Let it end; orders it still has are finished first and recorded in the store."""
        if self._process is None:
            return
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None, "it was started with one"
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        if not self._room and not self._fatal:
            self._end()
        elif not self._weights:
            self._process.wait(30)
        self._errors.close()

    def _end(self) -> None:
        """End a program that is not ready yet: it has no order."""
        assert self._process is not None, "it was started"
        self._process.terminate()
        try:
            self._process.wait(_LEAVES_S)
        except subprocess.TimeoutExpired:  # it waits for a cluster and hears no signal
            self._process.kill()
            self._process.wait()

    def _start(self) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the program
        process = self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=self._environment,
            start_new_session=True,
        )
        assert process.stdin is not None, "it was started with one"
        assert process.stdout is not None, "it was started with one"
        self._in, self._out = process.stdin.fileno(), process.stdout.fileno()
        self._until = time.monotonic() + READY_S

    def _messages(self, timeout_s: float) -> list[dict[str, Any]]:
        if select.select([self._out], [], [], timeout_s)[0]:
            self._take()
        *lines, self._read = self._read.split(b"\n")
        return [json.loads(line) for line in lines]

    def _take(self) -> None:
        chunk = os.read(self._out, 1 << 20)
        if not chunk:
            raise self._gone()
        self._read += chunk

    def _say(self, message: dict[str, Any]) -> None:
        """Write a line, reading meanwhile: two full pipes would wait for each other for ever."""
        if not self._room:
            self._kept.append(message)
            return
        text = json.dumps(message).encode() + b"\n"
        while text:
            readable, writable, _ = select.select([self._out], [self._in], [])
            if readable:
                self._take()
            if writable:
                try:
                    text = text[os.write(self._in, text[: select.PIPE_BUF]) :]
                except BrokenPipeError:
                    raise self._gone() from None

    def _gone(self) -> RunError:
        assert self._process is not None, "it was started"
        self._process.wait()
        self._errors.seek(0)
        tail = self._errors.read()[-4000:].decode(errors="replace")
        return RunError(
            f"{self.name} is gone",
            where=self.name,
            fix="%mlops resume goes on with the run: what is done stays done",
            log=tail,
        )
