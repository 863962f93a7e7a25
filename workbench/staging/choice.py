"""Which route a deployment gets: the kernel's where the machine allows it, else the proxy; and why."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Literal

from ..errors import InputError, NoPrivilege, ServeError, StagingError, TraceError
from ..route.kernel.machine import unavailable
from ..route.kernel.route import remove_pins
from . import processes
from .deployment import ROUTE_TIMEOUT_S, STOP_GRACE_S, Deployment
from .record import RouteKind

Asked = Literal["auto", "kernel", "proxy"]
CHOICES: tuple[Asked, ...] = ("auto", "kernel", "proxy")

SPLITS: dict[str, tuple[RouteKind, ...]] = {
    "auto": ("kernel", "sockmap", "proxy"),
    "connection": ("kernel",),
    "request": ("sockmap", "proxy"),
}
"""Which routes split so, the preferred first; ``auto`` takes what there is."""


def route_for(split: str, asked: str, *, cuda: bool = False) -> str:
    """Return which route to ask for, so that it splits as it should, and sees CUDA calls if these are limited.

    Raises
    ------
    InputError
        If there is no such way to split, or the route that was asked for splits otherwise or sees no such calls.
    """
    if split not in SPLITS:
        raise InputError(f"no split {split!r}", where="split", fix=", ".join(SPLITS))
    if split == "connection" and asked == "proxy":
        raise InputError(
            "--route proxy does not split by connection",
            where="split",
            fix="--split connection --route kernel",
        )
    if cuda and asked == "proxy":
        raise InputError(
            "the proxy sees no CUDA calls", where="slo", fix="--route kernel, or no limit of CUDA calls"
        )
    return "kernel" if cuda or split == "connection" else asked


def check_split(deployment: Deployment, split: str) -> None:
    """Refuse a split that the route of an existing deployment does not do.

    Raises
    ------
    StagingError
        If it is so.
    """
    if deployment.records.read().route not in SPLITS[split]:
        raise StagingError(
            f"the deployment's route ({deployment.route().implementation}) does not split by {split}",
            where=deployment.where,
            fix=f"%mlops unstage {deployment.name}, then push with --split {split}",
        )


def start_first_route(deployment: Deployment, asked: str, split: str) -> None:
    """Choose and start the route of a deployment that has none yet.

    Raises
    ------
    InputError
        If the choice is not known.
    NoPrivilege
        If the kernel was asked for by name and cannot do it here.
    PortInUse
        If another process has the port.
    """
    if asked not in CHOICES:
        raise InputError(f"no route {asked!r}", where="route", fix=", ".join(CHOICES))
    reason = "the proxy was asked for" if asked == "proxy" else unavailable()
    if reason and asked == "kernel":
        raise NoPrivilege(f"the kernel cannot route here: {reason}", where="route", fix="--route proxy")
    if not reason:
        try:
            _start(deployment, SPLITS[split][0])
        except (TraceError, ServeError) as error:
            _undo(deployment)
            if asked == "kernel" or isinstance(error, ServeError):
                raise
            reason = error.what
        else:
            return
    if asked == "auto":
        deployment.note("route.proxy", f"requests go through the user-space proxy: {reason}")
    _start(deployment, "proxy")


def _start(deployment: Deployment, kind: RouteKind) -> None:
    deployment.records.update(lambda record: replace(record, route=kind))
    route = deployment.route()
    route.start(processes.start_detached)  # the proxy starts while the replicas load
    if kind != "proxy":  # its replicas inherit something from it
        route.wait_ready(ROUTE_TIMEOUT_S)


def _undo(deployment: Deployment) -> None:
    route = deployment.route()
    route.stop(lambda who: processes.stop(who, grace_s=STOP_GRACE_S))
    with contextlib.suppress(NoPrivilege):
        remove_pins(deployment.folder / "route")
