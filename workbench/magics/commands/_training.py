"""The options of the verbs that may train a program again: for how long, and on what."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..command import Context
from ..parser import Parser, number, seconds

if TYPE_CHECKING:
    from ...quantize.heal import HealConfig


def add(parser: Parser, purpose: str) -> None:
    """Declare the arguments."""
    parser.argument("--heal", metavar="TIME", type=seconds, help=f"{purpose}: CPU time, as 60s or 2m")
    parser.argument(
        "--train", metavar="DATA", takes=("variable",), help="loader of pairs (inputs, target) to heal on"
    )
    parser.argument(
        "--loss",
        metavar="FN",
        takes=("variable",),
        help="of output and target (default: by the target's type)",
    )
    parser.argument("--distill", action="store_true", help="learn from the float program's outputs too")
    parser.argument(
        "--learning-rate", metavar="X", type=number(1e-8, 10), default=1e-3, help="default: %(default)s"
    )


def keywords(args: argparse.Namespace, context: Context) -> dict[str, Any]:
    """Return the keywords that say how to heal."""
    return {
        "heal": _heal(args),
        "train": context.optional(args.train, "the training data"),
        "loss": context.optional(args.loss, "the loss"),
    }


def _heal(args: argparse.Namespace) -> HealConfig | None:
    from ...quantize.heal import HealConfig

    return None if args.heal is None else HealConfig(args.heal, args.learning_rate, args.distill)
