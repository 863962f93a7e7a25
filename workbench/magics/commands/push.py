"""``push``: package an artifact and stage it behind a route."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser, percent, whole
from . import _running


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("artifact", takes=("artifact",), help="a compiled artifact, or a variant with one")
    parser.argument("--to", choices=("staging",), default="staging", help="where (default: %(default)s)")
    parser.argument("--canary", metavar="SHARE", type=percent, help="share of the traffic, as 10%% or 0.1")
    parser.argument(
        "--port", metavar="P", type=whole(0), default=0, help="port of the route (default: a free one)"
    )
    parser.argument("--replicas", metavar="N", type=whole(1), default=1, help="processes that serve it")
    parser.argument("--threads", metavar="N", type=whole(1), default=1, help="threads of one inference")
    parser.argument("--name", default="", help="name of the deployment (default: the artifact's)")
    _running.add(parser)


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.push`."""
    from ... import api

    return api.push(
        args.artifact,
        to=args.to,
        canary=args.canary,
        port=args.port,
        replicas=args.replicas,
        threads=args.threads,
        name=args.name,
        **_running.options(args, context),
    )


COMMAND = Command(
    "push",
    "package an artifact and stage it, as canary or as stable",
    add,
    call,
    examples=("minilm:int8 --to staging --canary 10%",),
)
