"""Small numpy models for replicas under measurement; a replica imports the loader by name."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from workbench import codec
from workbench.session import Session
from workbench.types import Signature, TensorSpec

Array = NDArray[Any]
EMBEDDING, DOCUMENTS, TOP, WIDTH = 384, 50_000, 5, 2048
_WORDS = 2048
_START_S = 60.0


class Total:
    """``total[i] = sum(x[i])``: as good as no work, so that what is measured is the way there and back."""

    signature = Signature(
        (TensorSpec("x", "float32", ("batch", "n")),), (TensorSpec("y", "float32", ("batch",)),)
    )

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return the sums."""
        return {"y": feeds["x"].sum(1, dtype=np.float32)}


class Embed:
    """A bag of 2,048 words to 384 numbers of length 1."""

    signature = Signature(
        (TensorSpec("x", "float32", ("batch", _WORDS)),), (TensorSpec("y", "float32", ("batch", EMBEDDING)),)
    )

    def __init__(self) -> None:
        self._weight = np.random.default_rng(1).normal(size=(_WORDS, EMBEDDING)).astype(np.float32)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return the embeddings."""
        raw = feeds["x"] @ self._weight
        return {"y": raw / np.linalg.norm(raw, axis=1, keepdims=True)}


class Search:
    """The five nearest of 50,000 documents, exactly, and their vectors."""

    signature = Signature(
        (TensorSpec("x", "float32", ("batch", EMBEDDING)),),
        (
            TensorSpec("ids", "int64", ("batch", TOP)),
            TensorSpec("vectors", "float32", ("batch", TOP, EMBEDDING)),
        ),
    )

    def __init__(self) -> None:
        self._documents = np.random.default_rng(2).normal(size=(DOCUMENTS, EMBEDDING)).astype(np.float32)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return the nearest documents, best first."""
        score = feeds["x"] @ self._documents.T
        few = np.argpartition(-score, TOP, axis=1)[:, :TOP]
        order = np.argsort(-np.take_along_axis(score, few, 1), axis=1)
        ids = np.take_along_axis(few, order, 1).astype(np.int64)
        return {"ids": ids, "vectors": self._documents[ids]}


class Layers:
    """Four square layers of 2,048: one row is bound by reading the weights, so that rows together are cheaper."""

    signature = Signature(
        (TensorSpec("x", "float32", ("batch", WIDTH)),), (TensorSpec("y", "float32", ("batch", WIDTH)),)
    )

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self._weights = [rng.normal(scale=0.02, size=(WIDTH, WIDTH)).astype(np.float32) for _ in range(4)]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return the last layer's output."""
        value = feeds["x"]
        for weight in self._weights:
            value = np.maximum(value @ weight, 0)
        return {"y": value}


class Stored:
    """One square layer of 2,500 whose 25 MB of weights lie in the bundle."""

    size = 2_500
    signature = Signature(
        (TensorSpec("x", "float32", ("batch", size)),), (TensorSpec("y", "float32", ("batch", size)),)
    )

    def __init__(self, folder: Path) -> None:
        self._weights = np.load(folder / "weights.npy")

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return the layer's output."""
        return {"y": feeds["x"] @ self._weights}

    @classmethod
    def write(cls, folder: Path) -> Path:
        """Write a bundle of it."""
        write_bundle("stored", folder)
        weights = np.random.default_rng(7).normal(size=(cls.size, cls.size)).astype(np.float32)
        np.save(folder / "weights.npy", weights)
        return folder


MODELS: dict[str, type[Total | Embed | Search | Layers]] = {
    "total": Total,
    "embed": Embed,
    "search": Search,
    "layers": Layers,
}


def load(folder: Path, *, threads: int = 1) -> Session:
    """Return the model that a bundle names; the loader of the replicas."""
    kind = json.loads((folder / "backend.json").read_bytes())["backend"]
    model = Stored(folder) if kind == "stored" else MODELS[kind]()
    return Session(model.signature, model, name=kind)


@dataclass(frozen=True)
class Served:
    """A running replica: its HTTP address, and what its ready file says."""

    url: str
    ready: Mapping[str, Any]


@contextlib.contextmanager
def served(kind: str, folder: Path, *options: str) -> Iterator[Served]:
    """Serve one of the models in a process of its own."""
    bundle, ready_file = folder / f"{kind}-bundle", folder / f"{kind}-{len(list(folder.iterdir()))}.json"
    write_bundle(kind, bundle)
    line = [sys.executable, "-m", "workbench.serve.replica", "--model", kind, "--version", "1"]
    line += ["--bundle", str(bundle), "--ready-file", str(ready_file), *options]
    line += ["--loader", "benchmarks.served_models:load"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + _START_S
        while not ready_file.exists():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the replica of {kind} did not start: {process.returncode}")
            time.sleep(0.01)
        ready = json.loads(ready_file.read_bytes())
        yield Served(f"http://127.0.0.1:{ready['port']}", ready)
    finally:
        process.terminate()
        process.wait(_START_S)


def write_bundle(kind: str, folder: Path) -> None:
    """Write the bundle of one of the models, unless it is there."""
    if folder.exists():
        return
    folder.mkdir()
    signature = (Stored if kind == "stored" else MODELS[kind]).signature
    (only,) = signature.inputs
    shape = [size if isinstance(size, int) else 1 for size in only.shape]
    save_file({"in.x": np.ones(shape, np.float32)}, folder / "examples.safetensors")
    (folder / "signature.json").write_text(codec.dumps(signature))
    (folder / "backend.json").write_text(json.dumps({"backend": kind}))
