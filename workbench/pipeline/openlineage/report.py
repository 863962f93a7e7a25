"""Report runs while they happen, where somebody asked for it; a run never fails because nobody listened.

``MLOPS_OPENLINEAGE`` names a file or an address; ``OPENLINEAGE_URL``, as OpenLineage's own clients read it, an address.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from ...errors import InputError, WorkbenchError
from ...store import Store

UNREPORTED = "run.unreported"
"""Kind of the event that says why a run was not reported."""


def target() -> str:
    """Return where events go, empty for nowhere."""
    return os.environ.get("MLOPS_OPENLINEAGE") or os.environ.get("OPENLINEAGE_URL", "")


def begin(store: Store, run_id: str) -> None:
    """Report that a run begins, if events go anywhere."""
    if target():
        from .events import started

        row = store.runs.get(run_id)
        _try(store, run_id, [started(row, again=any(step.state != "pending" for step in row.steps))])


def end(store: Store, run_id: str) -> None:
    """Report the steps of a run and how it ended, if events go anywhere and its beginning was reported."""
    began, missed = (store.events.newest(run_id, kind) for kind in ("run.started", UNREPORTED))
    if target() and (missed is None or (began is not None and began.seq > missed.seq)):
        from .events import ended

        _try(store, run_id, ended(store, store.runs.get(run_id)))


def publish(store: Store, run_id: str, to: str = "") -> int:
    """Send all events of a run; return how many.

    Raises
    ------
    UnknownRun
        If there is no such run.
    InputError
        If nobody said where to.
    RunError
        If they cannot be written or sent.
    """
    from .events import ended, started
    from .transport import send

    to = to or target()
    if not to:
        raise InputError(
            "nobody said where OpenLineage events go",
            where="OpenLineage",
            fix="export MLOPS_OPENLINEAGE=events.jsonl, or an address: http://localhost:5000",
        )
    row = store.runs.get(run_id)
    return send([started(row), *ended(store, row)], to)


def _try(store: Store, run_id: str, events: Iterable[Mapping[str, Any]]) -> None:
    from .transport import send

    try:
        send(events, target())
    except WorkbenchError as error:
        store.events.append(run_id, -1, UNREPORTED, error.to_json())
