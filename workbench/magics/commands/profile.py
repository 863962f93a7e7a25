"""``profile``: run a cell, or a workload on an artifact, under the tracer."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any

from ...errors import InputError
from ...trace.probes import DEFAULT_PROBES, PROBES
from ..command import Command, Context
from ..parser import Parser, subset, whole


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "artifact",
        nargs="?",
        default="",
        takes=("artifact",),
        help="what to run; the cell sees it as `session` (default: just the cell)",
    )
    parser.argument("--name", default="", help="what to call the profile (default: ARTIFACT@profile)")
    parser.argument(
        "--probes",
        metavar="LIST",
        type=subset(tuple(PROBES)),
        default=DEFAULT_PROBES,
        takes=("probes",),
        help=f"default: {_names(DEFAULT_PROBES)}; also {_names(sorted({*PROBES} - {*DEFAULT_PROBES}))}",
    )
    parser.argument("--hz", type=whole(1), default=99, help="CPU samples a second (default: %(default)s)")
    parser.argument("--threads", metavar="N", type=whole(1), default=1, help="threads of the session")
    parser.argument(
        "--call",
        metavar="FN",
        takes=("variable",),
        help="called, with the session if there is one, instead of a cell",
    )


def _names(probes: Iterable[str]) -> str:
    return ",".join(probes)


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.profile`."""
    from ... import api

    return api.profile(
        args.artifact,
        _workload(args, context),
        name=args.name,
        probes=args.probes,
        hz=args.hz,
        threads=args.threads,
    )


def _workload(args: argparse.Namespace, context: Context) -> Callable[[Any], Any]:
    """Return what to run under the tracer: the cell, which sees the session by its name, or a function."""
    if args.call is not None:
        function: Callable[[Any], Any] = context.value(args.call, "the workload")
        return function
    if context.cell is None:
        line = f"%%mlops profile {args.artifact}".rstrip()
        raise InputError(
            "there is nothing to profile",
            where=args.artifact or "profile",
            fix=f"write {line} above the lines to run, or give --call FN",
        )
    body = context.cell
    return lambda *session: body(dict(zip(("session",), session, strict=False)))


COMMAND = Command(
    "profile",
    "run a cell under the tracer, on an artifact or as it is",
    add,
    call,
    examples=("minilm:int8 --probes cpu,offcpu,audit", "--name before"),
    takes_cell=True,
)
