"""``prune``: a program becomes a smaller or a sparser one, behind the audit gate."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser, number, whole
from . import _running, _training


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("artifact", takes=("artifact",), help="a captured program")
    parser.argument(
        "--method",
        choices=("channels", "magnitude", "nm"),
        default="channels",
        help="whole channels, the smallest weights, or a pattern of zeros (default: %(default)s)",
    )
    parser.argument(
        "--amount", metavar="X", type=number(0, 1), default=0.5, help="share to remove (default: %(default)s)"
    )
    parser.argument(
        "--pattern",
        metavar="N:M",
        type=_pattern,
        default=(2, 4),
        help="for nm: N of M weights stay (default: 2:4)",
    )
    parser.argument(
        "--eval", metavar="FN", takes=("variable",), help="called with a session, returns a number"
    )
    parser.argument(
        "--max-drop", metavar="X", type=number(0, 1e9), help="refuse a larger drop of that number"
    )
    parser.argument(
        "--skip", metavar="GLOB", nargs="+", action="extend", default=[], help="layers to leave alone"
    )
    parser.argument(
        "--threads", metavar="N", type=whole(1), default=1, help="threads of the sessions that are timed"
    )
    _training.add(parser, "train what is left")
    parser.argument("--name", default="", help="name of the new program (default: artifact-pruned)")
    _running.add(parser)


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.prune`."""
    from ... import api

    return api.prune(
        args.artifact,
        method=args.method,
        amount=args.amount,
        pattern=args.pattern,
        evaluate=context.optional(args.eval, "the evaluation function"),
        max_drop=args.max_drop,
        skip=args.skip,
        threads=args.threads,
        **_training.keywords(args, context),
        name=args.name,
        **_running.options(args, context),
    )


def _pattern(text: str) -> tuple[int, int]:
    keep, _, of = text.partition(":")
    try:
        return int(keep), int(of)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a pattern such as 2:4") from None


COMMAND = Command(
    "prune",
    "remove channels or weights and audit the result",
    add,
    call,
    examples=(
        "digits --amount 0.5 --heal 5s --train loader --eval accuracy --max-drop 0.01",
        "minilm --method nm --pattern 2:4 --eval recall_at_1",
    ),
)
