"""``profile``: run a workload on an artifact under the tracer."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from ...errors import InputError
from ..command import Command, Context
from ..parser import Parser, subset, whole

PROBES = ("cpu", "sched", "faults", "syscalls")


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("artifact", takes=("artifact",), help="what to run; the cell sees it as `session`")
    parser.argument(
        "--probes",
        metavar="LIST",
        type=subset(PROBES),
        default=PROBES,
        takes=("probes",),
        help="default: cpu,sched,faults,syscalls",
    )
    parser.argument("--hz", type=whole(1), default=99, help="CPU samples a second (default: %(default)s)")
    parser.argument("--threads", metavar="N", type=whole(1), default=1, help="threads of the session")
    parser.argument(
        "--call",
        metavar="FN",
        takes=("variable",),
        help="called with the session, instead of a cell",
    )


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.profile`."""
    from ... import api

    return api.profile(
        args.artifact, _workload(args, context), probes=args.probes, hz=args.hz, threads=args.threads
    )


def _workload(args: argparse.Namespace, context: Context) -> Callable[[Any], Any]:
    """Return what to run under the tracer: the cell, which sees the session by its name, or a function."""
    if args.call is not None:
        function: Callable[[Any], Any] = context.value(args.call, "the workload")
        return function
    if context.cell is None:
        raise InputError(
            "there is nothing to profile",
            where=args.artifact,
            fix=f"write %%mlops profile {args.artifact} above the lines to run, or give --call FN",
        )
    body = context.cell
    return lambda session: body({"session": session})


COMMAND = Command(
    "profile",
    "run a cell on an artifact under the tracer",
    add,
    call,
    examples=("minilm:int8 --probes cpu,sched,faults,syscalls",),
    takes_cell=True,
)
