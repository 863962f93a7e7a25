"""The process of a step: its own session and process group, its own log, ended whole.

The step records how it ended; this side only starts it, ends its group when asked to, and notices when it died
without a word.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import StepFailed
from ..store import Store, owner
from . import child, spare
from .step import write
from .workers import ledger
from .workers.order import Order, Outcome

if TYPE_CHECKING:
    from ..package.environment import EnvironmentLock
    from ..package.isolation import Isolation
    from .isolation import IsolatedStep

# An interrupted cell must be free within a second: the step gets most of it to end by itself.
_GRACE = ((signal.SIGINT, 0.5), (signal.SIGTERM, 0.2), (signal.SIGKILL, 0.2))
_TAIL_BYTES = 4000


def log_path(store: Store, run_id: str, position: int) -> Path:
    """Return the file that a step's standard output and error go to."""
    return store.home / "logs" / f"{run_id}.{position}.log"


class StepProcess:
    """One started step.

    Parameters
    ----------
    store, order
        What to run.
    isolation, environment
        Limits of a sandbox to run it in, None for none; the environment to use there, this one by default.
    """

    def __init__(
        self,
        store: Store,
        order: Order,
        isolation: Isolation | None = None,
        environment: EnvironmentLock | None = None,
    ) -> None:
        if environment is not None:
            from .rebuilt import in_environment

            order = in_environment(order, environment)
        self._store, self.order = store, order
        self._attempts = store.runs.step(order.run_id, order.position).attempt
        told = store.home / "logs" / f"{order.run_id}.{order.position}.json"
        write(told, store.home, order)
        log = log_path(store, order.run_id, order.position)
        self._sandbox: IsolatedStep | None = None
        if isolation is None:
            self._process = spare.take(told, log) or _start(told, log)
        else:
            self._process = self._isolate(told, log, isolation, environment)
        self._handle = os.pidfd_open(self._process.pid)

    def fileno(self) -> int:
        """Return what becomes readable when it has ended."""
        return self._handle

    def end(self) -> None:
        """End it and what it started; what made a sandbox stands between it and the step, and might not pass it on."""
        row = self._store.runs.step(self.order.run_id, self.order.position)
        if self._sandbox is not None and row.state == "running" and owner.alive(row.owner):
            end_group(owner.pid_of(row.owner))
        end_group(self._process.pid)

    def let_go(self) -> None:
        """Watch it no more."""
        os.close(self._handle)

    def outcome(self) -> Outcome:
        """Return how it ended, once it has: what it recorded, or that it died and what its log says last."""
        self.let_go()
        if self._sandbox is not None:
            self._sandbox.remove()
        self._process.wait()
        row = self._store.runs.step(self.order.run_id, self.order.position)
        if row.state == "done" and row.result is not None:
            return Outcome.of(row.result)
        if row.error is not None and row.attempt > self._attempts:  # not that of an earlier attempt
            return Outcome(error=row.error)
        run_id, position = self.order.run_id, self.order.position
        bounds = self._sandbox.bounds if self._sandbox is not None else ""
        error = StepFailed(
            f"the step's process died ({_status(self._process.returncode)}){bounds}",
            where=f"{run_id}, {self.order.path}",
            fix=f"%mlops logs {run_id} shows its log; %mlops resume {run_id} tries again",
            log=log_tail(self._store, run_id, position),
        )
        ledger.finish(self._store, self.order, outcome := Outcome(error=error.to_json()))
        return outcome

    def _isolate(
        self, told: Path, log: Path, isolation: Isolation, environment: EnvironmentLock | None
    ) -> subprocess.Popen[bytes]:
        from .isolation import IsolatedStep

        with log.open("ab") as out:
            self._sandbox = IsolatedStep(self._store, told, out, isolation, environment)
        made = {"sandbox": self._sandbox.made_by}
        self._store.events.append(self.order.run_id, self.order.position, "step.sandboxed", made)
        return self._sandbox.process


def _start(told: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return child.start("workbench.pipeline.step", str(told), out=out, env=child.steady())


def end_group(leader: int) -> None:
    """End a process group: interrupt, terminate, kill, each with a moment to obey."""
    for number, seconds in _GRACE:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader, number)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if not owner.alive(owner.of(leader)):
                break
            time.sleep(0.01)
        else:
            continue
        break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)  # children the leader left behind


def log_tail(store: Store, run_id: str, position: int, size_bytes: int = _TAIL_BYTES) -> str:
    """Return the end of a step's log, empty when there is none."""
    path = log_path(store, run_id, position)
    if not path.is_file():
        return ""
    return path.read_bytes()[-size_bytes:].decode(errors="replace")


def _status(returncode: int) -> str:
    if returncode < 0:
        return f"killed by {signal.Signals(-returncode).name}"
    return f"exit status {returncode}"
