"""The alias ``minilm@staging``: the package that an environment's stable version serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..store import Store

if TYPE_CHECKING:
    from ..staging import DeploymentStatus


def point_alias(store: Store, status: DeploymentStatus) -> None:
    """Point a deployment's alias at its stable version; without one, forget it."""
    alias, stable = f"{status.name}@{status.env}", status.track("stable")
    if stable is None:
        store.names.remove(alias)
    else:
        store.names.set(alias, stable.package)
