"""What is deployed where, and who is changing it just now.

A deployment is a name in an environment with a JSON state that the staging layer owns. Whoever changes one
holds its operation lock; a lock whose holder died is taken over, so a killed push never blocks the next.
"""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import DeploymentBusy, UnknownDeployment
from . import owner
from .database import Database


@dataclass(frozen=True)
class Deployment:
    """One deployment: name, environment, the staging layer's JSON state, its maker's uid, its last change."""

    name: str
    env: str
    state: Mapping[str, Any]
    owner_uid: int
    updated_s: float


class Deployments:
    """The deployments of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, name: str, env: str, state: Mapping[str, Any]) -> None:
        """Write a deployment's state, making it when absent; the uid of the first writer stays.

        Every ``sha256:…`` text inside the state protects that artifact from gc.
        """
        text = json.dumps(state, sort_keys=True, separators=(",", ":"))
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO deployments VALUES (?, ?, ?, ?, ?) ON CONFLICT (name, env)"
                " DO UPDATE SET state = excluded.state, updated_s = excluded.updated_s",
                (name, env, text, os.getuid(), time.time()),
            )

    def get(self, name: str, env: str) -> Deployment:
        """Return one deployment.

        Raises
        ------
        UnknownDeployment
            If there is none; the error names those there are.
        """
        rows = self._database.query("SELECT * FROM deployments WHERE name = ? AND env = ?", (name, env))
        if not rows:
            known = ", ".join(f"{d.name} ({d.env})" for d in self.list())
            raise UnknownDeployment(
                f"nothing named {name!r} is deployed to {env}",
                where=f"{name}@{env}",
                fix=f"deployed: {known}" if known else f"%mlops push {name} --to {env}",
            )
        return _deployment(rows[0])

    def list(self) -> builtins.list[Deployment]:
        """Return every deployment by name and environment."""
        return [
            _deployment(row) for row in self._database.query("SELECT * FROM deployments ORDER BY name, env")
        ]

    def remove(self, name: str, env: str) -> None:
        """Forget a deployment."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM deployments WHERE name = ? AND env = ?", (name, env))

    @contextlib.contextmanager
    def operation(self, name: str, env: str, operation: str) -> Iterator[None]:
        """Hold the right to change a deployment (it need not exist yet).

        Parameters
        ----------
        operation
            What is being done (``push``), shown to whoever finds it taken.

        Raises
        ------
        DeploymentBusy
            If another living process or thread holds it.
        """
        token = secrets.token_hex(8)
        self._acquire(name, env, operation, token)
        try:
            yield
        finally:
            with self._database.transaction() as connection:
                connection.execute(
                    "DELETE FROM operations WHERE name = ? AND env = ? AND token = ?", (name, env, token)
                )

    def _acquire(self, name: str, env: str, operation: str, token: str) -> None:
        with self._database.transaction() as connection:
            held = connection.execute(
                "SELECT * FROM operations WHERE name = ? AND env = ?", (name, env)
            ).fetchone()
            if held and owner.alive(held["owner"]):
                pid, seconds = owner.pid_of(held["owner"]), time.time() - held["since_s"]
                raise DeploymentBusy(
                    f"{held['operation']} of {name!r} to {env} is running (pid {pid}, for {seconds:.0f} s)",
                    where=f"{name}@{env}",
                    fix="wait until it ends and run this again",
                    operation=held["operation"],
                    pid=pid,
                )
            connection.execute(
                "INSERT OR REPLACE INTO operations VALUES (?, ?, ?, ?, ?, ?)",
                (name, env, operation, owner.current(), token, time.time()),
            )


def _deployment(row: sqlite3.Row) -> Deployment:
    return Deployment(row["name"], row["env"], json.loads(row["state"]), row["owner_uid"], row["updated_s"])
