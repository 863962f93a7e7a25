"""Deployments: replicas behind a route, that outlive whoever pushed them.

::

    push ──► replicas start, answer one real inference ──► weight shifts ──► promote | rollback
                    ▲                                           │
               supervisor: starts the dead again        sentinel: takes a bad canary out

* `record`, `deployment`  what is written down, where it lies, what every operation shares
* `processes`, `replica`  detached processes; one replica's start and probe
* `push`, `rollout`       the operations; `choice` of the route, `rollout_plan` of what goes on by itself
* `freezing`              one replica stopped where it stands, and let go on
* `supervisor`            a process a deployment; `status`, `watching` what is shown
"""

from __future__ import annotations

from .freezing import freeze, thaw
from .push import push
from .rollout import promote, restart, rollback, unstage
from .rollout_plan import pause
from .status import DeploymentStatus, ReplicaStatus, TrackStatus, status
from .watching import Watched, watch

__all__ = [
    "DeploymentStatus",
    "ReplicaStatus",
    "TrackStatus",
    "Watched",
    "freeze",
    "pause",
    "promote",
    "push",
    "restart",
    "rollback",
    "status",
    "thaw",
    "unstage",
    "watch",
]
