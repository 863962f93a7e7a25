"""The replica's command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError, MissingInput
from .bundle import DEFAULT_LOADER

_LEAST = {"threads": 1, "workers": 1, "queue": 0, "max_batch": 1, "max_body_mib": 1, "grace_s": 0}
_LOCAL = ("127.0.0.1", "::1", "::ffff:127.0.0.1", "localhost")
TRACKS = ("stable", "canary")


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    line = argparse.ArgumentParser(prog="python -m workbench.serve.replica", description="Serve one model.")
    line.add_argument("--model", required=True, help="name that requests use")
    line.add_argument("--version", required=True, help="version that requests use")
    line.add_argument("--bundle", required=True, type=Path, help="folder of the compiled model")
    line.add_argument("--ready-file", required=True, type=Path, help="written once requests are answered")
    line.add_argument("--host", default="127.0.0.1")
    line.add_argument("--port", default=0, type=int, help="0: the system chooses (default)")
    line.add_argument("--track", default="stable", choices=TRACKS)
    line.add_argument("--state-file", type=Path, help="the route's word: 'draining' sends clients away")
    line.add_argument("--listen-fd", type=int, help="serve on this inherited listening socket instead")
    line.add_argument("--drain-word", default="", help="FD:INDEX, the same from a route in the kernel")
    line.add_argument("--threads", default=1, type=int, help="threads of one inference")
    line.add_argument("--loader", default=DEFAULT_LOADER, help="module:function that loads a bundle")
    line.add_argument("--workers", default=1, type=int, help="inferences at once")
    line.add_argument("--queue", default=64, type=int, help="requests that may wait; more get 503")
    line.add_argument("--max-body-mib", default=64, type=int, help="a larger body gets 413")
    line.add_argument(
        "--max-batch", default=1, type=int, help="rows that waiting requests may share a run in"
    )
    line.add_argument(
        "--grpc-port", type=int, help="also answer gRPC; 0: the system chooses (default: no gRPC)"
    )
    line.add_argument(
        "--local-socket", type=Path, help="also answer clients of this machine (serve.local_client)"
    )
    line.add_argument(
        "--shared-memory",
        metavar="PREFIX",
        default="",
        help="let clients on this machine register shared memory objects whose key starts so (default: none)",
    )
    line.add_argument("--traces", type=Path, help="append sampled, refused and failed requests as OTLP spans")
    line.add_argument(
        "--control-group", default="", metavar="NAME", help="join this group, with these limits:"
    )
    line.add_argument("--memory-bytes", default=0, type=int)
    line.add_argument("--cpus", default=0.0, type=float)
    line.add_argument("--pids", default=0, type=int)
    line.add_argument(
        "--egress", default="", help="networks the group may connect to; none: no connection at all"
    )
    line.add_argument("--grace-s", default=30, type=int, help="seconds for requests in flight at a stop")
    return line


def check(options: argparse.Namespace) -> None:
    """Refuse values that cannot work.

    Raises
    ------
    InputError
        If a name cannot go into a header or an address, a number is too small, or shared memory is to be
        offered to other machines.
    MissingInput
        If the ready file's folder is not there.
    """
    for name in ("model", "version"):
        value = getattr(options, name)
        if not (
            value.isascii() and value.isprintable() and value.strip() == value and "/" not in value and value
        ):
            raise InputError(
                f"{value!r} cannot be a {name}", where=f"--{name}", fix="printable ASCII without /"
            )
    for name, least in _LEAST.items():
        if getattr(options, name) < least:
            raise InputError(f"must be {least} or more", where="--" + name.replace("_", "-"))

    if not options.ready_file.parent.is_dir():
        raise MissingInput("no such folder", where=str(options.ready_file.parent), fix="--ready-file")
    if options.shared_memory and options.host not in _LOCAL:
        raise InputError(
            "shared memory is for clients on this machine", where="--shared-memory", fix="--host 127.0.0.1"
        )
