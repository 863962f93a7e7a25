"""Loaders that a replica under test imports by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from tests.serve.runners import Moody, session
from workbench.serve import connections
from workbench.session import Session


class OrtRunner:
    """The least an onnxruntime backend can be."""

    def __init__(self, path: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, Any]:
        return dict(zip(self.names, self.session.run(self.names, dict(feeds)), strict=True))


def load(folder: Path, *, threads: int = 1) -> Session:
    return session(folder, OrtRunner(folder / "model.onnx", threads))


def load_moody(folder: Path, *, threads: int = 1) -> Session:
    return session(folder, Moody(OrtRunner(folder / "model.onnx", threads)))


def load_impatient(folder: Path, *, threads: int = 1) -> Session:
    connections.HEAD_TIMEOUT_S = 1.5  # of this replica: the test need not wait for the real one
    return load(folder, threads=threads)


class Brittle(Moody):
    """As moody, and fails when any row is below -1000."""

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, Any]:
        if feeds["x"].size and feeds["x"].min() < -1000:
            raise RuntimeError("one row breaks the whole batch")
        return super().run(feeds)


class CompanyRunner(OrtRunner):
    """Scales by the largest value of the whole batch, as a grid found at each call does."""

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, Any]:
        return super().run({"x": feeds["x"] / np.abs(feeds["x"]).max(initial=1e-6)})


def load_brittle(folder: Path, *, threads: int = 1) -> Session:
    return session(folder, Brittle(OrtRunner(folder / "model.onnx", threads)))


def load_company(folder: Path, *, threads: int = 1) -> Session:
    return session(folder, CompanyRunner(folder / "model.onnx", threads))
