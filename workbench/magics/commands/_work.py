"""A pipeline and its inputs, as ``run`` and ``mirror`` take them."""

from __future__ import annotations

import argparse
import contextlib
import json
from typing import Any

from ...errors import InputError, UnknownArtifact, WorkbenchError
from ..command import Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare the pipeline and ``--set``."""
    parser.argument(
        "pipeline",
        takes=("variable", "file", "run", "artifact"),
        help="a pipeline: variable, module:name, file.yaml (Kubeflow's IR), an artifact's name (the steps that "
        "made it), or the id of a run",
    )
    parser.argument(
        "--set", metavar="NAME=VALUE", nargs="+", action="extend", type=pair, default=[], help="its inputs"
    )


def work(args: argparse.Namespace, context: Context) -> tuple[Any, dict[str, Any]]:
    """Return the pipeline and its inputs."""
    return named(args.pipeline, context), dict(args.set)


def named(text: str, context: Context) -> Any:
    """Return the pipeline that a text means: the text itself for a file, a run and an artifact, else a value."""
    if text.endswith((".yaml", ".yml", ".json")) or text.startswith("sha256:"):
        return text
    if text[0] == "r" and len(text) == 11 and text[1:].isalnum():
        return text
    try:
        return context.value(text, "the pipeline")
    except WorkbenchError:
        from ...store import Store

        with contextlib.suppress(InputError, UnknownArtifact):
            Store().names.resolve(text)
            return text
        raise


def pair(text: str) -> tuple[str, Any]:
    """Return name and value of ``NAME=VALUE``; the value is JSON where it can be read so."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
