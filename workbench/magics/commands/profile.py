"""``profile``: run a cell, or a workload on an artifact, under the tracer."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any

from ...errors import InputError
from ...trace.probes import DEFAULT_PROBES, PROBES
from ..command import Command, Context
from ..parser import Parser, seconds, subset, whole


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
    parser.argument(
        "--heap-sample",
        metavar="BYTES",
        type=whole(0),
        default=0,
        help="alloc: follow one block of torch's in about so many bytes (default: every block)",
    )
    parser.argument("--threads", metavar="N", type=whole(1), default=1, help="threads of the session")
    parser.argument(
        "--call",
        metavar="FN",
        takes=("variable",),
        help="called, with the session if there is one, instead of a cell",
    )

    parser.argument(
        "--policy", metavar="FILE", default="", takes=("file",), help="what may be touched (TOML)"
    )
    parser.argument("--enforce", action="store_true", help="refuse connects the policy does not allow")
    parser.argument(
        "--pid",
        metavar="N",
        type=whole(1),
        default=0,
        help="trace a process that runs already, instead of a cell",
    )
    parser.argument(
        "--run",
        dest="run_id",  # the parser itself keeps the command in `run`
        metavar="RUN",
        default="",
        takes=("run",),
        help="trace the running step of a run",
    )
    parser.argument(
        "--replica",
        metavar="NAME",
        default="",
        takes=("deployment",),
        help="trace a deployment's first replica",
    )
    parser.argument(
        "--seconds",
        metavar="S",
        type=seconds,
        default=5.0,
        help="for how long, with these three (default: 5)",
    )


def _names(probes: Iterable[str]) -> str:
    return ",".join(probes)


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.profile`."""
    from ... import api

    if args.pid or args.run_id or args.replica:
        return _attach(args, context)
    return api.profile(
        args.artifact,
        _workload(args, context),
        name=args.name,
        probes=args.probes,
        hz=args.hz,
        threads=args.threads,
        policy=args.policy,
        enforce=args.enforce,
        heap_sample=args.heap_sample,
    )


def _attach(args: argparse.Namespace, context: Context) -> Any:
    from ... import api

    if args.artifact or args.call is not None or context.cell is not None:
        raise InputError(
            "a process that runs already takes no artifact and no cell",
            where="profile",
            fix="%mlops profile --pid N --seconds 5",
        )
    return api.attach(
        args.pid,
        run=args.run_id,
        replica=args.replica,
        seconds=args.seconds,
        name=args.name,
        probes=args.probes,
        hz=args.hz,
        policy=args.policy,
        enforce=args.enforce,
        heap_sample=args.heap_sample,
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
    examples=("minilm:int8 --probes cpu,offcpu,audit", "--name before", "--pid 1234 --seconds 10"),
    takes_cell=True,
)
