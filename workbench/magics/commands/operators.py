"""``operators``: where a compiled model's time goes, beside what the machine can do."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser, whole


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("artifact", takes=("artifact",), help="a compiled artifact, or what was compiled")
    parser.argument("--threads", metavar="N", type=whole(1), default=1, help="threads of the session")
    parser.argument("--repeats", metavar="N", type=whole(1), default=20, help="passes under the profiler")
    parser.argument(
        "--batch", metavar="N", type=int, choices=(0, 1), default=1, help="1: one item; 0: as captured"
    )


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.operators`."""
    from ... import api

    return api.operators(args.artifact, threads=args.threads, repeats=args.repeats, batch=args.batch)


COMMAND = Command(
    "operators",
    "show time, operations and share of the machine's peak of every operator",
    add,
    call,
    examples=("minilm:int8/onnxruntime",),
)
