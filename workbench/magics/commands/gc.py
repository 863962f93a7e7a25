"""``gc``: remove what nothing refers to."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare no arguments: what is kept is what names, runs and deployments refer to."""


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.gc`."""
    from ... import api

    return api.gc()


COMMAND = Command("gc", "remove artifacts and scratch files nothing refers to", add, call)
