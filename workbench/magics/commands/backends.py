"""``backends``: what compiles and runs models here, its options, and for which machines."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare no arguments."""


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.backends`."""
    from ... import api

    return api.backends()


COMMAND = Command(
    "backends", "list backends: what runs here, what to install, options and targets", add, call
)
