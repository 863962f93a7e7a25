"""``profile``: run a workload on an artifact under the tracer."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser, comma, whole


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("artifact", takes=("artifact",), help="what to run; the cell sees it as `session`")
    parser.argument(
        "--probes", metavar="LIST", type=comma, default=("cpu",), help="cpu,sched,faults,syscalls"
    )
    parser.argument("--hz", type=whole(1), default=99, help="CPU samples a second (default: %(default)s)")
    parser.argument(
        "--run", metavar="FN", takes=("variable",), help="called with the session, instead of a cell"
    )


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.profile`."""
    from ... import api

    return api.profile(args.artifact, probes=args.probes)


COMMAND = Command(
    "profile",
    "run a cell on an artifact under the tracer",
    add,
    call,
    examples=("minilm:int8 --probes cpu,sched,faults,syscalls",),
    takes_cell=True,
)
