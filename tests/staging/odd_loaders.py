"""Loaders of models that misbehave, by name, for replicas under test."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.serve.tiny_loaders import OrtRunner, _session
from workbench.session import Session


class NanRunner(OrtRunner):
    def run(self, feeds: Any) -> dict[str, Any]:
        return {name: np.full_like(array, np.nan) for name, array in super().run(feeds).items()}


def load_broken(folder: Path, *, threads: int = 1) -> Session:
    raise RuntimeError("these weights are from another world")


def load_dying(folder: Path, *, threads: int = 1) -> Session:
    print("about to die", flush=True)
    os._exit(7)


def load_nan(folder: Path, *, threads: int = 1) -> Session:
    return _session(folder, NanRunner(folder / "model.onnx", threads))


def load_while_allowed(folder: Path, *, threads: int = 1) -> Session:
    """Load, unless a file named ``forbidden`` lies beside the deployment's folders."""
    if (folder.parents[4] / "forbidden").exists():
        os._exit(7)
    return _session(folder, OrtRunner(folder / "model.onnx", threads))


def load_when_told(folder: Path, *, threads: int = 1) -> Session:
    """Say that loading has begun, and load once a file named ``go`` lies beside the bundle."""
    (folder.parent / "loading").touch()
    until = time.monotonic() + 60
    while not (folder.parent / "go").exists() and time.monotonic() < until:
        time.sleep(0.01)
    return _session(folder, OrtRunner(folder / "model.onnx", threads))
