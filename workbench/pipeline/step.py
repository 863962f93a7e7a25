"""``python -m workbench.pipeline.step step.json``: run one order in a process of its own and record how it ended.

The file holds the store's folder and the order (:class:`~workbench.pipeline.workers.order.Order`). Everything the
step leaves goes into the store, so it does not matter whether whoever started it still lives. An interrupt (SIGINT)
ends the step as cancelled. Exit status: 0 done, 1 failed, 130 cancelled.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from ..atomic import disk_guard
from ..store import Store, owner
from . import record
from .workers import body, ledger
from .workers.order import Order, Outcome


def write(path: Path, home: Path, order: Order) -> None:
    """Write what a step's process is told: read once, by a process that starts now, so nothing waits for the disk."""
    text = json.dumps({"home": str(home), "order": order.to_json()}).encode()
    with (
        disk_guard(path),
        os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file,
    ):
        file.write(text)


def run(store: Store, order: Order, live: Any = None) -> Outcome:
    """Run an order in this process and record how it ended.

    Parameters
    ----------
    store, order
        The order, of this store.
    live
        An object that only this process has (the module of a capture).

    Raises
    ------
    KeyboardInterrupt
        If the step was interrupted; it is recorded as cancelled.
    """
    if not ledger.begin(store, order, owner.current()):
        return ledger.awaited(store, order)
    try:
        outcome = body.run(store, order, live)
    except KeyboardInterrupt:
        record.cancelled(store, order.run_id, order.position)
        raise
    ledger.finish(store, order, outcome)
    return outcome


def main(path: Path) -> int:
    """Run the order in a file."""
    told = json.loads(path.read_bytes())
    try:
        outcome = run(Store(Path(told["home"])), Order.of(told["order"]))
    except KeyboardInterrupt:
        return 130
    if outcome.error is not None:
        print(f"{outcome.error['error']}: {outcome.error['what']}", file=sys.stderr)
        return 1
    return 0


def leave(code: int) -> NoReturn:
    """End the process. All is recorded; taking torch's modules apart one by one would keep people waiting."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main(Path(sys.argv[1])))
