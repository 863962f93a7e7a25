"""Deployments as the panel sees them: what each does now, how it did lately, and the operations on it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ..errors import InputError, UnknownDeployment, WorkbenchError
from ..store import Store
from .home import Home

KEPT = 120
"""Readings kept of each deployment: two minutes at one a second."""

OPERATIONS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "promote": ("promote", {}),
    "rollback": ("rollback", {}),
    "pause": ("pause", {}),
    "continue": ("pause", {"off": True}),
    "unstage": ("unstage", {}),
}
"""What the panel may do: functions of :mod:`workbench.api` that take a deployment's name, and their options."""


class Deployments:
    """The deployments of one store, and their last readings."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._history: dict[str, deque[dict[str, Any]]] = {}
        self._lock = threading.Lock()

    def read(self) -> dict[str, Any]:
        """Return ``{"deployments": [...], "operations": [...]}`` without changing anything."""
        store = self.home.store()
        rows = store.deployments.list() if store else []
        found = [self._one(store, row.name, row.env) for row in rows] if store else []
        shown = [one for one in found if one is not None]
        with self._lock:
            for gone in set(self._history) - {f"{one['name']}@{one['env']}" for one in shown}:
                del self._history[gone]
        return {"deployments": shown, "operations": list(OPERATIONS)}

    def operate(self, name: str, operation: str) -> dict[str, Any]:
        """Promote, roll back, unstage, … as the magic of that name does; return :meth:`read`.

        Raises
        ------
        InputError
            If there is no such operation.
        UnknownDeployment, StagingError, DeploymentBusy
            As the operation.
        """
        from .. import api

        if operation not in OPERATIONS:
            known = ", ".join(OPERATIONS)
            raise InputError(f"there is no operation {operation!r}", where="operation", fix=known)
        store = self.home.require(f"nothing named {name!r} is deployed", UnknownDeployment)
        function, options = OPERATIONS[operation]
        getattr(api, function)(name, store=store, **options)
        return self.read()

    def _one(self, store: Store, name: str, env: str) -> dict[str, Any] | None:
        from ..staging.deployment import Deployment
        from ..staging.status import status_of

        try:
            deployment = Deployment(store, name, env)
            status = asdict(status_of(deployment))
            record = deployment.records.read()
        except WorkbenchError as error:  # its first push is under way, or it is being removed
            if isinstance(error, UnknownDeployment):
                return None
            return {
                "name": name,
                "env": env,
                "failure": str(error),
                "tracks": [],
                "events": [],
                "rollbacks": [],
            }
        for track in status["tracks"]:
            names = [n for n in store.names.of(track["package"]) if "@" not in n]
            track["label"] = names[0] if names else track["package"][:19]
        rollout = record.rollout
        going = None if rollout is None else {"weights": list(rollout.weights), "paused": rollout.paused}
        more = {"rollout": going, "previous": bool(record.previous)}
        return {**status, **more, "history": self._remember(f"{name}@{env}", status)}

    def _remember(self, key: str, status: dict[str, Any]) -> list[dict[str, Any]]:
        reading = {
            "time_s": round(time.time(), 2),
            "tracks": {t["track"]: _reading(t) for t in status["tracks"]},
        }
        with self._lock:
            kept = self._history.setdefault(key, deque(maxlen=KEPT))
            if not kept or reading["time_s"] - kept[-1]["time_s"] > 0.5:
                kept.append(reading)
            return list(kept)


def _reading(track: dict[str, Any]) -> dict[str, Any]:
    memory = sum(replica["rss_bytes"] for replica in track["replicas"])
    return {**{key: track[key] for key in ("requests", "errors", "p50_ms", "p99_ms")}, "rss_bytes": memory}
