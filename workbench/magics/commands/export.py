"""``export``: a profile or a model as a file that other tools read, or as manifests for a cluster."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser, percent, whole

PLATFORMS = ("kserve", "kubernetes")
FORMATS = ("pprof", "chrome", "collapsed", "svg", "onnx", "bitnet", "tq2_0", "tq1_0")


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "artifact", takes=("artifact",), help="a profile, a program or a variant; or kserve, or kubernetes"
    )
    parser.argument(
        "file",
        takes=("file", "artifact"),
        help="*.pb.gz pprof, *.json Chrome and Perfetto, *.txt stacks, *.svg picture; of a model *.onnx, "
        "*.gguf, a folder for transformers; or the model to serve",
    )
    parser.argument("--format", choices=FORMATS, default="", help="the format, whatever the file's end")
    parser.argument("--config", metavar="FILE", takes=("file",), help="bitnet: the model's config.json")
    group = parser.add_argument_group("kserve and kubernetes")
    group.add_argument(
        "--registry", metavar="URL", default="", help="send the model there: where the cluster pulls"
    )
    group.add_argument(
        "--out", metavar="DIR", default="manifests", help="folder of the files (default: %(default)s)"
    )
    group.add_argument("--image", default="", help="kubernetes: container image with this workbench")
    group.add_argument("--stable", metavar="NAME", default="", help="kubernetes: the version beside a canary")
    group.add_argument(
        "--canary", metavar="SHARE", type=percent, default=0.0, help="share of the traffic, as 10%%"
    )
    group.add_argument("--replicas", metavar="N", type=whole(1), default=1, help="pods at least")
    group.add_argument("--most-replicas", metavar="N", type=whole(1), default=4, help="pods at most")
    group.add_argument("--keda", action="store_true", help="kubernetes: scale by the length of the queues")
    group.add_argument("--sign", metavar="KEY", default="", help="secret key that signs the package")
    group.add_argument(
        "--trust", metavar="KEY", nargs="+", default=[], help="public keys that the pods check"
    )
    group.add_argument("--base", metavar="URL", default="", help="kserve: image with a shell below the model")


def call(args: argparse.Namespace, context: Context) -> Any:
    """Ask :func:`workbench.api.export` or :func:`workbench.api.export_manifests`."""
    from ... import api

    if args.artifact in PLATFORMS:
        names = ("out", "image", "stable", "canary", "replicas", "most_replicas", "keda", "sign", "base")
        options = {name: getattr(args, name) for name in names}
        return api.export_manifests(
            args.artifact, args.file, registry=args.registry, trust=tuple(args.trust), **options
        )
    return api.export(args.artifact, args.file, form=args.format, config=args.config)


COMMAND = Command(
    "export",
    "write a profile or a model for other tools, or for a cluster",
    add,
    call,
    examples=(
        "minilm@profile profile.pb.gz",
        "before trace.json",
        "lm:ternary lm.gguf --format tq1_0",
        "kserve minilm:int8 --registry http://127.0.0.1:5000",
    ),
)
