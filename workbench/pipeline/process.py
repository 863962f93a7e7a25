"""The process of a step: its own session and process group, its own log, ended whole.

The step records how it ended; this side only starts it, passes events on while it runs, ends its group when
the run is cancelled or the caller interrupted, and notices when it died without a word.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import StepFailed, WorkbenchError, from_json
from ..store import StepRow, Store, owner
from ..store.run_rows import ENDED
from . import child, record, spare
from .recipe import Step
from .step import StepOrder

if TYPE_CHECKING:
    from ..package.environment import EnvironmentLock
    from ..package.isolation import Isolation
    from .isolation import IsolatedStep

_LOOK_S = 0.1
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
    store, run_id, position
        The step's place.
    step, key
        The step with inputs pinned to digests, and its cache key.
    isolation, environment
        Limits of a sandbox to run it in, None for none; the environment to use there, this one by default.
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        position: int,
        step: Step,
        key: str,
        *,
        isolation: Isolation | None = None,
        environment: EnvironmentLock | None = None,
    ) -> None:
        self.store, self.run_id, self.position, self.step = store, run_id, position, step
        order = store.home / "logs" / f"{run_id}.{position}.json"
        StepOrder(store.home, run_id, position, step, key, tuple(sys.path)).write(order)
        log = log_path(store, run_id, position)
        self._sandbox: IsolatedStep | None = None
        if isolation is None:
            self._process = spare.take(order, log) or _start(order, log)
        else:
            self._process = self._isolate(order, log, isolation, environment)

    def wait(self, look: Callable[[], None]) -> StepRow:
        """Wait for the end and return the step's row, calling `look` meanwhile.

        A run that somebody asked to cancel, and an interrupt of this process, end the step's group first.
        """
        handle = os.pidfd_open(self._process.pid)
        try:
            while not select.select([handle], [], [], _LOOK_S)[0]:
                look()
                if self.store.runs.cancelling(self.run_id):
                    end_group(self._process.pid)
                    break
        except KeyboardInterrupt:
            end_group(self._process.pid)
            self._process.wait()
            self._row_after_cancel()
            raise
        finally:
            os.close(handle)
            if self._sandbox is not None:
                self._sandbox.remove()
        self._process.wait()
        return self._row_after_cancel() if self.store.runs.cancelling(self.run_id) else self._row()

    def error(self, row: StepRow) -> WorkbenchError:
        """Return why the step is not done: what it recorded, or that it died and what its log says last."""
        if row.error is not None:
            return from_json(row.error)
        tail = log_tail(self.store, self.run_id, self.position)
        error = StepFailed(
            f"the step's process died ({_status(self._process.returncode)})",
            where=f"{self.run_id}, step {self.position} ({self.step.verb})",
            fix=f"%mlops logs {self.run_id} shows its log; %mlops resume {self.run_id} tries again",
            log=tail,
        )
        return record.failed(self.store, self.run_id, self.position, error)

    def _isolate(
        self, order: Path, log: Path, isolation: Isolation, environment: EnvironmentLock | None
    ) -> subprocess.Popen[bytes]:
        from .isolation import IsolatedStep, interpreter_for

        with log.open("ab") as out:
            python = interpreter_for(self.store, environment)
            self._sandbox = IsolatedStep(self.store, order, out, isolation, python)
        return self._sandbox.process

    def _row(self) -> StepRow:
        return self.store.runs.get(self.run_id).steps[self.position]

    def _row_after_cancel(self) -> StepRow:
        if self._row().state not in ENDED:
            record.cancelled(self.store, self.run_id, self.position)
        return self._row()


def _start(order: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return child.start("workbench.pipeline.step", str(order), out=out)


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
