"""``push``: package an artifact and stage it behind a route."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser, number, percent, percents, seconds, size, whole
from . import _running


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("artifact", takes=("artifact",), help="a compiled artifact, or a variant with one")
    parser.argument("--to", choices=("staging",), default="staging", help="where (default: %(default)s)")
    parser.argument(
        "--canary",
        metavar="SHARES",
        type=percents,
        help="share of the traffic, as 10%% or 0.1; several, as 1%%,5%%,25%%,100%%, go on by themselves",
    )
    parser.argument(
        "--every", metavar="TIME", type=seconds, default=30.0, help="time at each share (default: 30s)"
    )
    parser.argument(
        "--shadow",
        metavar="SHARE",
        type=percent,
        help="instead: copies of this share of the requests, compared with the stable answers (needs the proxy)",
    )
    parser.argument(
        "--slo",
        metavar="POLICY",
        default="",
        help="what the canary may spend: 'service_p<5ms, rss<+64MiB, hang<50ms', or a .toml file",
    )
    parser.argument(
        "--route", choices=("auto", "kernel", "proxy"), default="auto", help="what splits the traffic"
    )
    parser.argument(
        "--split",
        choices=("auto", "connection", "request"),
        default="auto",
        help="split connections, or the requests of a kept connection too",
    )
    parser.argument(
        "--port", metavar="P", type=whole(0, 65535), default=0, help="port of the route (default: a free one)"
    )
    parser.argument("--replicas", metavar="N", type=whole(1), default=1, help="processes that serve it")
    parser.argument("--threads", metavar="N", type=whole(1), default=1, help="threads of one inference")
    parser.argument(
        "--max-batch", metavar="N", type=whole(1), default=1, help="rows that requests may share a run in"
    )
    parser.argument("--grpc", action="store_true", help="replicas also answer gRPC")
    parser.argument("--memory", metavar="SIZE", type=size, default=0, help="of each replica, as 512MiB")
    parser.argument(
        "--cpus", metavar="N", type=number(0.01, 1024), default=0.0, help="of each replica, as 0.5"
    )
    parser.argument(
        "--pids", metavar="N", type=whole(1), default=0, help="processes and threads of each replica"
    )
    parser.argument(
        "--egress", metavar="NETWORKS", default="", help="where replicas may connect to; none: nowhere"
    )
    parser.argument(
        "--shared-memory",
        metavar="PREFIX",
        default="",
        help="let clients of this machine register shared memory objects whose key starts so",
    )
    parser.argument(
        "--local-socket",
        action="store_true",
        help="replicas also answer clients of this machine on a socket file",
    )
    parser.argument(
        "--traces",
        metavar="FILE",
        default="",
        help="replicas append sampled and failed requests as OTLP spans",
    )
    parser.argument("--sign", metavar="KEY", default="", help="secret key that signs the package")
    parser.argument("--registry", metavar="URL", default="", help="send the package there and stage nothing")
    parser.argument("--name", default="", help="name of the deployment (default: the artifact's)")
    _running.add(parser)


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.push`."""
    from ... import api

    return api.push(
        args.artifact,
        to=args.to,
        canary=args.canary,
        every=args.every,
        shadow=args.shadow,
        slo=args.slo,
        route=args.route,
        split=args.split,
        port=args.port,
        replicas=args.replicas,
        threads=args.threads,
        name=args.name,
        max_batch=args.max_batch,
        grpc=args.grpc,
        memory_bytes=args.memory,
        cpus=args.cpus,
        pids=args.pids,
        egress=args.egress,
        shared_memory=args.shared_memory,
        local=args.local_socket,
        traces=args.traces,
        sign=args.sign,
        registry=args.registry,
        **_running.options(args, context),
    )


COMMAND = Command(
    "push",
    "package an artifact and stage it, as canary or as stable",
    add,
    call,
    examples=(
        "minilm:int8 --to staging --canary 10%",
        "minilm:int8 --sign key --registry http://127.0.0.1:5000",
        'minilm:int8 --canary 1%,5%,25%,100% --every 30s --slo "service_p<5ms, rss<+64MiB"',
    ),
)
