"""Loaders of models by name, for replicas under test: one that works, others that misbehave.

They compute with numpy: a replica starts in two thirds of the time that it takes with onnxruntime, and what is
tested here is the staging, not the backend.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.serve.runners import Moody, session
from workbench.session import Session


class Runner:
    """What the tiny bundle's ONNX model computes."""

    def run(self, feeds: Any) -> dict[str, Any]:
        return {"double": feeds["x"] + feeds["x"], "total": feeds["x"].sum(1)}


def load(folder: Path, *, threads: int = 1) -> Session:
    return session(folder, Runner())


def load_moody(folder: Path, *, threads: int = 1) -> Session:
    return session(folder, Moody(Runner()))


class NanRunner(Runner):
    def run(self, feeds: Any) -> dict[str, Any]:
        return {name: np.full_like(array, np.nan) for name, array in super().run(feeds).items()}


def load_broken(folder: Path, *, threads: int = 1) -> Session:
    raise RuntimeError("these weights are from another world")


def load_dying(folder: Path, *, threads: int = 1) -> Session:
    print("about to die", flush=True)
    os._exit(7)


def load_nan(folder: Path, *, threads: int = 1) -> Session:
    return session(folder, NanRunner())


def load_while_allowed(folder: Path, *, threads: int = 1) -> Session:
    """Load, unless a file named ``forbidden`` lies beside the deployment's folders."""
    if (folder.parents[4] / "forbidden").exists():
        os._exit(7)
    return session(folder, Runner())


def load_when_told(folder: Path, *, threads: int = 1) -> Session:
    """Say that loading has begun, and load once a file named ``go`` lies beside the bundle."""
    (folder.parent / "loading").touch()
    until = time.monotonic() + 60
    while not (folder.parent / "go").exists() and time.monotonic() < until:
        time.sleep(0.01)
    return session(folder, Runner())
