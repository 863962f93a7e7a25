"""``key``: keys that sign packages, and keys whose packages are staged."""

from __future__ import annotations

import argparse
from typing import Any

from ...errors import InputError
from ..command import Command, Context
from ..parser import Parser


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("action", choices=("new", "trust", "list"), help="what to do")
    parser.argument("file", nargs="?", default="", help="the secret key to make, or the public key to trust")


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.new_key`, :func:`~workbench.api.trust_key` or ``trusted_keys``."""
    from ... import api

    if args.action == "list":
        return api.trusted_keys()
    if not args.file:
        raise InputError(f"key {args.action} needs a file", where="key", fix=f"key {args.action} signing-key")
    return api.new_key(args.file) if args.action == "new" else api.trust_key(args.file)


COMMAND = Command(
    "key",
    "make a signing key, trust a public one, list the trusted",
    add,
    call,
    examples=("new signing-key", "trust signing-key.pub", "list"),
    subject="action",
)
