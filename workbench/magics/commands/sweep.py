"""``sweep``: try schemes and backends, stop the hopeless early, put the rest side by side."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser, number, seconds, subset, whole
from ._families import members


def add(parser: Parser) -> None:
    """Declare the arguments."""
    schemes, backends = members("quantize/schemes"), ("auto", *members("compile/backends"))
    parser.argument("artifact", nargs="?", default="", takes=("artifact",), help="a captured program")
    parser.argument(
        "--scheme",
        metavar="LIST",
        type=subset(schemes),
        default=("int8", "int4", "ternary"),
        help=f"of {', '.join(schemes)} (default: int8,int4,ternary)",
    )
    parser.argument(
        "--backend",
        metavar="LIST",
        type=subset(backends),
        default=("auto",),
        help="default: auto, what suits a scheme",
    )
    parser.argument(
        "--eval",
        metavar="FN",
        takes=("variable",),
        help="called with a session; with fraction=SHARE if it takes that",
    )
    parser.argument(
        "--max-drop", metavar="X", type=number(0, 1e9), help="refuse a larger drop of that number"
    )
    parser.argument("--calibrate", metavar="DATA", takes=("variable",), help="calibration data")
    parser.argument(
        "--preprocess", metavar="FN", takes=("variable",), help="turns calibration data into inputs"
    )
    parser.argument(
        "--budget", metavar="TIME", type=seconds, help="stop after this long, as 10m; --resume goes on"
    )
    parser.argument("--at-once", metavar="N", type=whole(1), default=0, help="trials at the same time")
    parser.argument("--threads", metavar="N", type=whole(1), default=1, help="threads of the sessions")
    parser.argument("--executor", metavar="WHERE", default="local", help="where trials run (default: local)")
    parser.argument("--resume", metavar="ID", default="", help="go on with a sweep")
    parser.argument("--list", action="store_true", help="list the sweeps")


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.sweep` or :func:`~workbench.api.sweeps`."""
    from ... import api

    if args.list:
        return api.sweeps()
    return api.sweep(
        args.artifact,
        schemes=args.scheme,
        backends=args.backend,
        evaluate=context.optional(args.eval, "the evaluation function"),
        max_drop=args.max_drop,
        calibrate=context.optional(args.calibrate, "the calibration data"),
        preprocess=context.optional(args.preprocess, "the preprocessing"),
        budget=args.budget,
        at_once=args.at_once,
        threads=args.threads,
        executor=args.executor,
        resume=args.resume,
    )


COMMAND = Command(
    "sweep",
    "try schemes and backends on a program, the hopeless stopped early",
    add,
    call,
    examples=(
        "minilm --scheme int8,int4,ternary --budget 10m --eval recall_at_1 --max-drop 0.01",
        "--resume SWEEP",
        "--list",
    ),
)
