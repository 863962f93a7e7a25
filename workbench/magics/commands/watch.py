"""``watch``: a deployment while it works."""

from __future__ import annotations

import argparse
from typing import Any

from .. import screen
from ..command import Command, Context
from ..parser import Parser, seconds


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("deployment", takes=("deployment",), help="its name")
    parser.argument(
        "--for", dest="time", metavar="TIME", type=seconds, help="how long (default: until interrupted)"
    )
    parser.argument(
        "--every", metavar="TIME", type=seconds, default=1.0, help="time between readings (default: 1s)"
    )


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.watch`."""
    from ... import api
    from ...widgets.staging import StagingWatch

    show = StagingWatch(screen.live())
    return api.watch(args.deployment, seconds=args.time, every=args.every, show=show)


COMMAND = Command(
    "watch",
    "follow a deployment: weights, rates, latency, waits, memory, events",
    add,
    call,
    examples=("minilm", "minilm --for 30s"),
    subject="deployment",
)
