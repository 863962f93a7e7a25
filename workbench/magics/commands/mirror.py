"""``mirror``: one pipeline here and elsewhere, compared step by step."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser
from . import _work


def add(parser: Parser) -> None:
    """Declare the arguments."""
    _work.add(parser)
    parser.argument(
        "--against",
        metavar="WHERE",
        default="ray",
        help="ray, ray://HOST:PORT, kubeflow (default: %(default)s)",
    )


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.mirror`."""
    from ... import api

    work, arguments = _work.work(args, context)
    return api.mirror(work, arguments, against=args.against, on_event=context.on_event)


COMMAND = Command(
    "mirror",
    "run a pipeline here and elsewhere and compare every step",
    add,
    call,
    examples=("flow --against kubeflow", "flow --set n=20 --against ray://10.0.0.1:6379"),
    subject="pipeline",
)
