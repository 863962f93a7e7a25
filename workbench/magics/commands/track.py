"""``track``: publish runs, models and aliases to MLflow."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser, whole


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("run_id", nargs="?", default="", metavar="RUN", help="a run's id (default: the newest)")
    parser.argument(
        "--limit", metavar="N", type=whole(1), default=20, help="how many of the newest (default: 20)"
    )


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.track`."""
    from ... import api

    return api.track(args.run_id, limit=args.limit)


COMMAND = Command(
    "track",
    "publish runs, models and aliases to MLflow (MLOPS_TRACKING_URI)",
    add,
    call,
    examples=("", "RUN"),
    subject="run_id",
)
