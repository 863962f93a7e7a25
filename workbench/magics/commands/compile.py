"""``compile``: a program or variant becomes what a backend loads, checked against eager."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser, number, seconds, whole
from . import _isolating, _running
from ._families import members


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("artifact", takes=("artifact",), help="a program or a variant")
    parser.argument(
        "--backend",
        choices=(*members("compile/backends"), "auto"),
        default="onnxruntime",
        help="what runs it; auto: measure all backends and number formats and keep the fastest that passes",
    )
    parser.argument(
        "--target",
        metavar="MACHINE",
        default="",
        help="machine to compile for, for a backend that has targets: "
        "host, x86-64-avx512-vnni, x86-64-avx2, aarch64-neon, aarch64-i8mm, aarch64-sve, riscv64-rvv, generic, cuda, "
        "ethos-u55, ethos-u65, ethos-u85",
    )
    parser.argument(
        "--option",
        metavar="NAME=VALUE",
        nargs="+",
        action="extend",
        default=[],
        help="the backend's own options; %%mlops backends lists them",
    )
    parser.argument(
        "--tune",
        metavar="TIME",
        type=seconds,
        default=0.0,
        help="tvm: look for faster schedules first, as 60s",
    )
    parser.argument(
        "--records",
        metavar="RECORDS",
        takes=("artifact", "file"),
        default="",
        help="tvm: tuning records to use, an artifact or a file",
    )
    parser.argument("--threads", metavar="N", type=whole(1), default=1, help="threads of one session")
    parser.argument(
        "--budget",
        metavar="TIME",
        type=seconds,
        default=120.0,
        help="auto: seconds of the search, such as 60s",
    )
    parser.argument(
        "--among",
        metavar="BACKEND",
        nargs="+",
        default=[],
        help="auto: only these backends, or formats of one (int8-static/openvino); spaces or commas between",
    )
    parser.argument("--calibrate", metavar="DATA", takes=("variable",), help="auto: calibration data")
    parser.argument(
        "--preprocess", metavar="FN", takes=("variable",), help="auto: turns calibration data into inputs"
    )
    parser.argument(
        "--eval", metavar="FN", takes=("variable",), help="auto: called with a session, returns a number"
    )
    parser.argument("--max-drop", metavar="X", type=number(0, 1e9), help="auto: refuse a larger drop of it")
    parser.argument("--name", default="", help="name of the result (default: artifact/backend)")
    _isolating.add(parser)
    _running.add(parser)


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.compile`, or :func:`workbench.api.choose` for ``auto``."""
    from ... import api
    from ...compile import parse_pairs

    if args.backend == "auto":
        return _choose(args, context)
    return api.compile(
        args.artifact,
        backend=args.backend,
        threads=args.threads,
        target=args.target,
        options=parse_pairs(args.option),
        tune=args.tune,
        records=args.records,
        name=args.name,
        **_isolating.options(args),
        **_running.options(args, context),
    )


def _choose(args: argparse.Namespace, context: Context) -> Any:
    from ... import api
    from ...errors import InputError

    unused = {"--isolate": args.isolate, "--target": args.target, "--option": args.option}
    unused |= {"--tune": args.tune, "--records": args.records}
    if given := [name for name, value in unused.items() if value]:
        raise InputError(
            f"--backend auto takes no {', '.join(given)}", where=given[0], fix="name one backend"
        )
    return api.choose(
        args.artifact,
        backends=[one for word in args.among for one in word.split(",") if one],
        budget=args.budget,
        calibrate=context.optional(args.calibrate, "the calibration data"),
        preprocess=context.optional(args.preprocess, "the preprocessing"),
        evaluate=context.optional(args.eval, "the evaluation function"),
        max_drop=args.max_drop,
        threads=args.threads,
        name=args.name,
        **_running.options(args, context),
    )


COMMAND = Command(
    "compile",
    "compile an artifact for a backend and check it against eager",
    add,
    call,
    examples=(
        "minilm:int8 --backend onnxruntime",
        "minilm --backend auto --calibrate texts --eval recall_at_1 --max-drop 0.01 --budget 120s",
        "minilm:ternary --backend ternary",
        "minilm --backend tvm --tune 60s",
        "minilm:ternary --backend ternary --target aarch64-neon",
    ),
)
