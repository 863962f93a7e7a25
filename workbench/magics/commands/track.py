"""``track``: publish runs, models and aliases to MLflow, or runs as OpenLineage events."""

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
    parser.argument(
        "--openlineage",
        metavar="URL|FILE",
        default="",
        help="write or post OpenLineage events instead (by itself while runs happen: MLOPS_OPENLINEAGE)",
    )


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.track`."""
    from ... import api

    return api.track(args.run_id, limit=args.limit, openlineage=args.openlineage)


COMMAND = Command(
    "track",
    "publish runs, models and aliases to MLflow (MLOPS_TRACKING_URI), or runs as OpenLineage events",
    add,
    call,
    examples=("", "RUN", "RUN --openlineage events.jsonl"),
    subject="run_id",
)
