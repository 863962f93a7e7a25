"""Options of commands whose step can run in a sandbox."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ..parser import Parser, number, size, whole

if TYPE_CHECKING:
    from ...package.isolation import Isolation


def add(parser: Parser) -> None:
    """Declare ``--isolate`` and its limits."""
    parser.argument(
        "--isolate", action="store_true", help="run the step in a sandbox: no network, few rights"
    )
    parser.argument(
        "--sandbox",
        choices=("runc", "image", "buildah"),
        default="",
        help="runc with this machine's folders (default); runc, or buildah, with an image of the environment",
    )
    parser.argument(
        "--memory", metavar="SIZE", type=size, default=4 << 30, help="of the sandbox (default: 4GiB)"
    )
    parser.argument(
        "--cpus", metavar="N", type=number(0.01, 1024), default=1.0, help="of the sandbox (default: 1)"
    )
    parser.argument("--pids", metavar="N", type=whole(1), default=512, help="of the sandbox (default: 512)")
    parser.argument("--network", action="store_true", help="let the sandbox see the network")


def options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the keyword argument of an api function."""
    if args.sandbox and not args.isolate:
        raise InputError(
            "it chooses what makes the sandbox of --isolate", where="--sandbox", fix="add --isolate"
        )
    return {"isolate": isolation(args) if args.isolate else None}


def isolation(args: argparse.Namespace) -> Isolation:
    """Return the limits."""
    from ...package.isolation import Isolation

    return Isolation(args.memory, args.cpus, args.pids, args.network, args.sandbox or "runc")
