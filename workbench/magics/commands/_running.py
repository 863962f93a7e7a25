"""Options of every command that starts a run."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare ``--bg``, ``--dry-run`` and ``--executor``."""
    parser.argument("--bg", action="store_true", help="return at once; the run goes on by itself")
    parser.argument("--dry-run", action="store_true", help="print the recipe as JSON and run nothing")
    parser.argument(
        "--executor",
        metavar="WHERE",
        default="local",
        help="local, ray (started here), ray://HOST:PORT, kubeflow (kfp's runner here), "
        "kubeflow://HOST:PORT (default: %(default)s)",
    )


def options(args: argparse.Namespace, context: Context) -> dict[str, Any]:
    """Return them as the keyword arguments of an api function."""
    return {
        "background": args.bg,
        "dry_run": args.dry_run,
        "on_event": context.on_event,
        "executor": args.executor,
    }
