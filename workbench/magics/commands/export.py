"""``export``: a profile or a model as a file that other tools read, or as what a cluster serves or runs."""

from __future__ import annotations

import argparse
from typing import Any

from ..command import Command, Context
from ..parser import Parser, percent, whole
from ._work import named, pair

PLATFORMS = ("kserve", "kubernetes")
KUBEFLOW = "kubeflow"
FORMATS = ("pprof", "chrome", "collapsed", "svg", "onnx", "bitnet", "tq2_0", "tq1_0")


def add(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "artifact",
        takes=("artifact",),
        help="a profile, a program, a variant or tuning records; or kserve, kubernetes, or kubeflow",
    )
    parser.argument(
        "file",
        takes=("file", "artifact"),
        help="*.pb.gz pprof, *.json Chrome and Perfetto, *.txt stacks, *.svg picture; of a model *.onnx, "
        "*.gguf, a folder for transformers; or the model to serve; or, for kubeflow, the pipeline, run or "
        "artifact whose steps are meant",
    )
    parser.argument("--format", choices=FORMATS, default="", help="the format, whatever the file's end")
    parser.argument("--config", metavar="FILE", takes=("file",), help="bitnet: the model's config.json")
    parser.argument(
        "--set", metavar="NAME=VALUE", nargs="+", action="extend", type=pair, default=[],
        help="kubeflow: inputs of the pipeline",
    )  # fmt: skip
    group = parser.add_argument_group("kserve, kubernetes and kubeflow")
    group.add_argument(
        "--registry", metavar="URL", default="", help="send the model there: where the cluster pulls"
    )
    group.add_argument(
        "--out",
        metavar="PATH",
        default="",
        help="folder of the files (default: manifests), or the .yaml file (default: pipeline.yaml)",
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

    if args.artifact == KUBEFLOW:
        return api.export_pipeline(named(args.file, context), args.out or "pipeline.yaml", dict(args.set))
    if args.artifact in PLATFORMS:
        names = ("image", "stable", "canary", "replicas", "most_replicas", "keda", "sign", "base")
        options = {name: getattr(args, name) for name in names}
        return api.export_manifests(
            args.artifact,
            args.file,
            registry=args.registry,
            out=args.out or "manifests",
            trust=tuple(args.trust),
            **options,
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
        "kubeflow minilm:int8/onnxruntime --out minilm.yaml",
    ),
)
