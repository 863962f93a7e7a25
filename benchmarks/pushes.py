"""From ``push`` to the first answer of a package of 25 MB, as somebody who pushes waits for it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from workbench import package, staging
from workbench.serve.client import InferenceClient
from workbench.store import ArtifactDraft, Store
from workbench.types import Manifest

from .samples import Samples
from .served_models import Stored

LOADER = "benchmarks.served_models:load"


def measure(samples: Samples, rounds: int) -> None:
    """Time the first push of a deployment, and one that swaps in another version, each to its first answer."""
    with packaged(Stored.write) as (store, digest):
        files = store.artifacts.path(digest).rglob("*")
        samples.add("push.package_mb", sum(p.stat().st_size for p in files if p.is_file()) / 1e6)
        for number in range(rounds):
            try:
                samples.add("push.first_answer_s", _push(store, digest, f"stored-{number}"))
                samples.add("push.swap_answer_s", _push(store, digest, f"stored-{number}"))
            finally:
                staging.unstage(store, f"stored-{number}")


@contextlib.contextmanager
def packaged(write: Callable[[Path], Path]) -> Iterator[tuple[Store, str]]:
    """Give a store of its own with one package, of the bundle that `write` makes, and the package's digest."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        facts = {"manifest": Manifest("compiled", ()), "lineage": {}, "environment": package.lock()}
        package.pack(write(folder / "bundle"), folder / "layout", name="packaged", **facts)  # type: ignore[arg-type]
        with contextlib.closing(Store(folder / "store")) as store:
            draft = store.scratch() / "package"
            shutil.copytree(folder / "layout", draft)
            yield store, store.artifacts.put(ArtifactDraft("package", draft))


def _push(store: Store, digest: str, name: str) -> float:
    """Push and ask; return the seconds until the new version's answer came."""
    x = np.ones((1, Stored.size), np.float32)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    start = time.perf_counter()
    status = staging.push(store, digest, name=name, loader=LOADER)
    with InferenceClient(status.url) as client:
        version = client.infer(name, {"x": x}).version
    taken = time.perf_counter() - start
    if version != str(status.tracks[0].version):
        raise RuntimeError(f"version {version} answered")
    return taken
