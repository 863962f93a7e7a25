"""The options of ``quantize`` that say how weights become ternary, and how a program is trained for it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..command import Context
from ..parser import Parser, number, seconds, whole

if TYPE_CHECKING:
    from ...quantize import TernaryConfig
    from ...quantize.heal import HealConfig


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "--method",
        choices=("absmean", "twn", "optimal"),
        default="optimal",
        help="how a ternary scale is found (default: %(default)s)",
    )
    parser.argument(
        "--granularity",
        choices=("tensor", "row", "group"),
        default="row",
        help="what shares a ternary scale (default: %(default)s)",
    )
    parser.argument(
        "--group-size", metavar="N", type=whole(4), default=128, help="weights a group (default: %(default)s)"
    )
    parser.argument(
        "--ends",
        choices=("int8", "float", "ternary"),
        default="int8",
        help="what the first and last layer become beside ternary ones (default: %(default)s)",
    )
    parser.argument(
        "--heal", metavar="TIME", type=seconds, help="train for the format first: CPU time, as 60s or 2m"
    )
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


def config(args: argparse.Namespace) -> TernaryConfig:
    """Return what was asked for."""
    from ...quantize import TernaryConfig

    return TernaryConfig(args.method, args.granularity, args.group_size, args.ends)


def training(args: argparse.Namespace, context: Context) -> dict[str, Any]:
    """Return the keywords that say how to heal."""
    return {
        "heal": _heal(args),
        "train": context.optional(args.train, "the training data"),
        "loss": context.optional(args.loss, "the loss"),
    }


def _heal(args: argparse.Namespace) -> HealConfig | None:
    from ...quantize.heal import HealConfig

    return None if args.heal is None else HealConfig(args.heal, args.learning_rate, args.distill)
