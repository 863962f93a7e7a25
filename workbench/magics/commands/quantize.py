"""``quantize``: a program becomes a smaller variant, behind the audit gate."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser, number, whole
from . import _isolating, _running, _ternary, _training
from ._families import members


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("artifact", takes=("artifact",), help="a captured program")
    parser.argument(
        "--scheme",
        choices=members("quantize/schemes"),
        default="int8",
        help="number format (default: %(default)s)",
    )
    parser.argument(
        "--mode",
        choices=("auto", "static", "dynamic", "weights"),
        default="auto",
        help="how activations are quantized; weights: not at all",
    )
    parser.argument(
        "--smooth",
        metavar="ALPHA",
        type=_alpha,
        default=0.0,
        help="int8: equalize activations first (SmoothQuant), 0.5 is usual; auto: where it helps",
    )
    parser.argument(
        "--group",
        metavar="N",
        type=int,
        choices=(32, 64, 128, 256),
        default=32,
        help="int4: weights that share a scale (default: %(default)s)",
    )
    parser.argument(
        "--calibrator",
        choices=("minmax", "percentile", "entropy"),
        default="minmax",
        help="how ranges are chosen",
    )
    parser.argument("--calibrate", metavar="DATA", takes=("variable",), help="calibration data")
    parser.argument(
        "--preprocess", metavar="FN", takes=("variable",), help="turns calibration data into inputs"
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
    _ternary.add(parser)
    _training.add(parser, "train for the format first")
    parser.argument("--name", default="", help="name of the variant (default: artifact:scheme)")
    _isolating.add(parser)
    _running.add(parser)


def _alpha(text: str) -> float | str:
    return text if text == "auto" else number(0, 0.999)(text)


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.quantize`."""
    from ... import api

    return api.quantize(
        args.artifact,
        scheme=args.scheme,
        mode=args.mode,
        calibrator=args.calibrator,
        smooth=args.smooth,
        group=args.group,
        calibrate=context.optional(args.calibrate, "the calibration data"),
        preprocess=context.optional(args.preprocess, "the preprocessing"),
        evaluate=context.optional(args.eval, "the evaluation function"),
        max_drop=args.max_drop,
        skip=args.skip,
        threads=args.threads,
        ternary=_ternary.config(args),
        **_training.keywords(args, context),
        name=args.name,
        **_isolating.options(args),
        **_running.options(args, context),
    )


COMMAND = Command(
    "quantize",
    "quantize a program and audit the result",
    add,
    call,
    examples=(
        "minilm --scheme int8 --calibrate texts --eval recall_at_1 --max-drop 0.01",
        "minilm --mode static --smooth auto --calibrate texts",
        "minilm --scheme int4 --group 128",
        "digits --scheme ternary --heal 5s --train loader --eval accuracy --max-drop 0.01",
    ),
)
