"""``python -m workbench.pipeline.workers.forks``: runs orders as children of one warm process.

A fresh interpreter that imports numpy takes half a second, a fork of one that has it a few milliseconds, and
is as much a process of its own: it dies alone, has its own log and can be ended whole. This program imports
what steps need, reads orders as lines on standard input and answers with lines on standard output
(:mod:`workbench.pipeline.workers.host` is the other end). It holds no connection and no thread when it forks.

When the other end is gone it waits for its children, which record their results in the store, and ends.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ...errors import StepFailed, WorkbenchError
from ...store import Store, owner
from ..machine import machine
from . import body, ledger
from .answers import Answers
from .order import Order, Outcome

Work = Callable[[Store, Order], Outcome]
_MESSAGE_BYTES = 1 << 22


@dataclass
class _Child:
    """A running order: its ticket, its process, the pipe its outcome comes through, when it must end."""

    ticket: int
    order: Order
    pid: int
    pipe: int
    until_s: float
    told: bytes = b""
    why: str = ""


class Forks:
    """The program.

    Parameters
    ----------
    home
        The store's folder.
    answers
        Where answers go.
    work
        What runs an order in its child and returns what it left.
    """

    def __init__(self, home: Path, answers: Answers, work: Work = body.run) -> None:
        self._home, self._answers, self._work = home, answers, work
        self._children: dict[int, _Child] = {}
        self._selector = selectors.DefaultSelector()
        self._open = True
        self._read = b""

    def serve(self) -> None:
        """Work until the other end is gone and every child has ended."""
        self._selector.register(0, selectors.EVENT_READ)
        self._answers.say({"ready": len(os.sched_getaffinity(0))})
        while self._open or self._children:
            for key, _ in self._selector.select(self._rest_s()):
                if key.fd == 0:
                    self._listen()
                else:
                    self._hear(self._children[key.fd])
            for child in [one for one in self._children.values() if time.monotonic() > one.until_s]:
                self._end(child, f"it ran longer than {child.order.timeout_s:g} s")

    def _rest_s(self) -> float | None:
        ends = [child.until_s for child in self._children.values() if child.until_s < float("inf")]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def _listen(self) -> None:
        chunk = os.read(0, 1 << 16)
        if not chunk:
            self._open = False
            self._selector.unregister(0)
            return
        *lines, self._read = (self._read + chunk).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "cancel" in message:
                for child in [one for one in self._children.values() if one.ticket == message["cancel"]]:
                    self._end(child, "it was cancelled")
            else:
                self._start(message["ticket"], Order.of(message["order"]))

    def _start(self, ticket: int, order: Order) -> None:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            self._become(order, writing)
        os.close(writing)
        until = time.monotonic() + order.timeout_s if order.timeout_s else float("inf")
        self._children[reading] = _Child(ticket, order, pid, reading, until)
        self._selector.register(reading, selectors.EVENT_READ)

    def _become(self, order: Order, pipe: int) -> NoReturn:
        """Be the child: run the order, record and tell how it ended, and end."""
        code = 1
        try:
            os.setsid()
            self._selector.close()
            redirect(self._home / "logs" / f"{order.run_id}.{order.position}.log")
            outcome = self._outcome(order)
            text = json.dumps(outcome.to_json()).encode()
            while text:
                text = text[os.write(pipe, text) :]
            code = 0
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(code)

    def _outcome(self, order: Order) -> Outcome:
        try:
            store = Store(self._home)
            if not ledger.begin(store, order, owner.current()):
                return ledger.awaited(store, order)
            body.limit_memory(order.memory_bytes)
            outcome = self._work(store, order)
            ledger.finish(store, order, outcome)
        except WorkbenchError as error:  # the store cannot be written: who asked hears of it through the pipe
            return Outcome(error=error.to_json())
        return outcome

    def _hear(self, child: _Child) -> None:
        chunk = os.read(child.pipe, 1 << 16)
        child.told += chunk
        if chunk and len(child.told) < _MESSAGE_BYTES:
            return
        self._selector.unregister(child.pipe)
        os.close(child.pipe)
        del self._children[child.pipe]
        _, status = os.waitpid(child.pid, 0)
        try:  # what it told counts, however it ended afterwards
            outcome = json.loads(child.told)
        except ValueError:
            outcome = self._died(child, os.waitstatus_to_exitcode(status))
        self._answers.say({"ended": child.ticket, "outcome": outcome})

    def _died(self, child: _Child, code: int) -> dict[str, Any]:
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        error = StepFailed(
            child.why or f"the step's process died ({how})",
            where=f"{child.order.run_id}, {child.order.path}",
            fix=f"%mlops logs {child.order.run_id} shows its log; %mlops resume {child.order.run_id} tries again",
        )
        outcome = Outcome(error=error.to_json())
        store = Store(self._home)
        ledger.finish(store, child.order, outcome)
        store.close()  # no connection may be open when the next child is forked
        return outcome.to_json()

    def _end(self, child: _Child, why: str) -> None:
        child.why, child.until_s = why, float("inf")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


def redirect(log: Path) -> None:
    """Make a file standard output and error, and nothing standard input."""
    with Path(os.devnull).open("rb") as nothing, log.open("ab") as out:
        os.dup2(nothing.fileno(), 0)
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)


def main(home: str, search_path: str, *preload: str, work: Work = body.run) -> None:
    """Import what steps will need, then serve."""
    answers = Answers()  # before anything is imported that may print
    sys.path.extend(entry for entry in json.loads(search_path) if entry not in sys.path)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt of the notebook is the driver's to answer
    for remembered in (body.code, machine, owner.current):  # once here instead of in every child
        remembered()
    for name in ("numpy.random", *preload):
        with contextlib.suppress(Exception):  # the step that needs it will say what is wrong with it
            importlib.import_module(name)
    gc.freeze()
    Forks(Path(home), answers, work).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
