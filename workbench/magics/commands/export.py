"""``export``: a profile as a file that other tools read."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser

FORMATS = ("pprof", "chrome", "collapsed", "svg")


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("artifact", takes=("artifact",), help="a profile: its name or digest")
    parser.argument(
        "file", takes=("file",), help="*.pb.gz pprof, *.json Chrome and Perfetto, *.txt stacks, *.svg picture"
    )
    parser.argument("--format", choices=FORMATS, default="", help="the format, whatever the file's end")


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.export`."""
    from ... import api

    return api.export(args.artifact, args.file, form=args.format)


COMMAND = Command(
    "export",
    "write a profile for pprof, Perfetto and others",
    add,
    call,
    examples=("minilm@profile profile.pb.gz", "before trace.json"),
)
