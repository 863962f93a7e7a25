"""``python3 -m workbench.pipeline.entrypoint``: what a step's container starts on a cluster.

It takes Kubeflow's executor input, runs the same code as every other executor against a store of its own, and
leaves what Kubeflow expects: plain outputs as files, artifacts as folders (files and manifest), and a record of
both. An artifact's digest is in its metadata.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..store import Store
from .environment import lock_digest
from .workers import body, parcel
from .workers.order import OUTPUTS, Order, Outcome, argument_of, seed_of

RESULT = "result"
"""Metadata of an artifact that a verb made: its :class:`~workbench.pipeline.result.StepResult` as JSON text."""

_MOUNTS = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/"}
"""Where Kubeflow mounts the object stores it knows."""


def main(arguments: Sequence[str]) -> int:
    """Run a step; 0 when it is done."""
    told = json.loads(argument_of(tuple(arguments), "--executor_input"))
    with tempfile.TemporaryDirectory(prefix="mlops-step-") as home:
        store = Store(Path(home))
        order = order_of(store, told, tuple(arguments))
        outcome = body.run(store, order)
        if outcome.error is not None:
            print(outcome.error.get("fields", {}).get("traceback", ""), file=sys.stderr)
            print(f"{outcome.error['error']}: {outcome.error['what']}", file=sys.stderr)
            return 1
        leave(store, told, outcome)
        store.close()
    return 0


def order_of(store: Store, told: Mapping[str, Any], arguments: tuple[str, ...]) -> Order:
    """Return the order that an executor input means, with its artifacts taken into a store."""
    inputs = told.get("inputs", {})
    artifacts: dict[str, str | list[str]] = {}
    many = json.loads(argument_of(arguments, "--lists") or "[]")
    for name, form in inputs.get("artifacts", {}).items():
        digests = [parcel.adopt(store, path_of(one["uri"])) for one in form["artifacts"]]
        artifacts[name] = digests if name in many else digests[0]
    parameters = inputs.get("parameterValues", {})
    run = arguments[arguments.index("--executor_input") + 2 :]
    return Order(
        run_id="container",
        position=0,
        path="step",
        key="",
        body=run,
        outputs=json.loads(argument_of(arguments, OUTPUTS)),
        parameters=parameters,
        artifacts=artifacts,
        seed=seed_of(run, parameters, artifacts),
        environment=lock_digest(),
    )


def leave(store: Store, told: Mapping[str, Any], outcome: Outcome) -> None:
    """Write outputs where an executor input wants them."""
    outputs = told["outputs"]
    record: dict[str, Any] = {"parameterValues": dict(outcome.parameters), "artifacts": {}}
    for name, value in outcome.parameters.items():
        path = Path(outputs["parameters"][name]["outputFile"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value))
    for name, digest in outcome.artifacts.items():
        (form,) = outputs["artifacts"][name]["artifacts"]
        folder = path_of(form["uri"])
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        parcel.export(store, digest, folder)
        kept = {"name": form.get("name", name), "uri": form["uri"], "metadata": metadata(digest, outcome)}
        record["artifacts"][name] = {"artifacts": [kept]}
    path = Path(outputs["outputFile"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))


def metadata(digest: str, outcome: Outcome) -> dict[str, Any]:
    """Return what is said of an artifact beside its files: its digest, and what a verb reports."""
    told = {} if outcome.result is None else {RESULT: json.dumps(outcome.result)}
    return {"digest": digest, **told}


def path_of(uri: str) -> Path:
    """Return where an artifact's files are mounted.

    Examples
    --------
    >>> path_of("gs://bucket/run/model")
    PosixPath('/gcs/bucket/run/model')
    """
    for scheme, mount in _MOUNTS.items():
        if uri.startswith(scheme):
            return Path(mount + uri.removeprefix(scheme))
    return Path(uri)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
