"""``run``: a pipeline of the user's own steps, on any executor."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser
from . import _running, _work


def add(parser: Parser) -> None:
    """Declare the arguments."""
    _work.add(parser)
    parser.argument("--fresh", action="store_true", help="run every step, whatever is known already")
    _running.add(parser)


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.run`."""
    from ... import api

    work, arguments = _work.work(args, context)
    options = _running.options(args, context)
    return api.run(work, arguments, fresh=args.fresh, **options)


COMMAND = Command(
    "run",
    "run a pipeline of steps of your own",
    add,
    call,
    examples=("flow --set n=20", "pipeline.yaml --executor ray://10.0.0.1:6379"),
    subject="pipeline",
)
