"""``python -m workbench.pipeline.step step.json``: run one step and record how it ended.

The file says which store, which run, which step (inputs pinned to digests), the cache key and the import path
of the caller. Everything the step leaves goes into the store, so it does not matter whether whoever started
it still lives. An interrupt (SIGINT) ends the step as cancelled. Exit status: 0 done, 1 failed, 130
cancelled.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from .. import codec
from ..atomic import write_bytes
from ..store import Store, owner
from . import record
from .context import StepContext
from .recipe import Step, body_of, loads
from .result import StepResult


@dataclass(frozen=True)
class StepOrder:
    """What a step's process is told."""

    home: Path
    run_id: str
    position: int
    step: Any
    key: str
    search_path: tuple[str, ...]

    def write(self, path: Path) -> None:
        """Write the order to a file."""
        form = {
            "home": str(self.home),
            "run_id": self.run_id,
            "position": self.position,
            "step": codec.to_json(self.step),
            "key": self.key,
            "search_path": list(self.search_path),
        }
        write_bytes(path, json.dumps(form).encode(), mode=0o600)

    @classmethod
    def read(cls, path: Path) -> StepOrder:
        """Return the order in a file."""
        form = json.loads(path.read_bytes())
        step = loads(json.dumps(form["step"]))
        home, search_path = Path(form["home"]), tuple(form["search_path"])
        return cls(home, form["run_id"], form["position"], step, form["key"], search_path)


def run(store: Store, run_id: str, position: int, step: Step, key: str = "", live: Any = None) -> StepResult:
    """Run a step in this process and record how it ended.

    Parameters
    ----------
    store, run_id, position
        The step's place.
    step, key
        The step with inputs pinned to digests, and its cache key; an empty key caches nothing.
    live
        An object that only this process has (the module of a capture).

    Raises
    ------
    WorkbenchError
        As the body does; anything else it raises becomes :class:`~workbench.errors.StepFailed`.
    KeyboardInterrupt
        If the step was interrupted; it is recorded as cancelled.
    """
    record.begin(store, run_id, position, step, owner.current())
    try:
        with StepContext(store, run_id, position, step, live) as context:
            result = body_of(step)(step, context)
    except KeyboardInterrupt:
        record.cancelled(store, run_id, position)
        raise
    except Exception as error:
        known = record.failed(store, run_id, position, error, f"{run_id}, step {position} ({step.verb})")
        if known is error:
            raise
        raise known from error
    record.done(store, run_id, position, step, result, key=key)
    return result


def main(path: Path) -> int:
    """Run the step in a file."""
    order = StepOrder.read(path)
    sys.path.extend(entry for entry in order.search_path if entry not in sys.path)
    store = Store(order.home)
    try:
        run(store, order.run_id, order.position, order.step, order.key)
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - it is recorded; the log shows it too
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def leave(code: int) -> NoReturn:
    """End the process. All is recorded; taking torch's modules apart one by one would keep people waiting."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main(Path(sys.argv[1])))
