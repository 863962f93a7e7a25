"""The options of ``quantize`` that say how weights become ternary."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..parser import Parser, whole

if TYPE_CHECKING:
    from ...quantize import TernaryConfig


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


def config(args: argparse.Namespace) -> TernaryConfig:
    """Return what was asked for."""
    from ...quantize import TernaryConfig

    return TernaryConfig(args.method, args.granularity, args.group_size, args.ends)
