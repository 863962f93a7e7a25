"""Versions of python and the packages, and which backends can run here."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from .finding import Finding

NEEDED = ("mlops-workbench", "ipython", "numpy", "psutil", "cloudpickle")
OPTIONAL = {
    "torch": "torch",
    "safetensors": "torch",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "starlette": "serve",
    "uvicorn": "serve",
    "httptools": "serve",
    "jupyterlab": "lab",
    "anywidget": "lab",
}
OLDEST = (3, 11)


def findings() -> Iterator[Finding]:
    """Look at python, packages and backends."""
    old = sys.version_info[:2] < OLDEST
    yield Finding(
        "packages",
        "python",
        platform.python_version(),
        "bad" if old else "ok",
        "install Python 3.11 or newer" if old else "",
    )
    for name in NEEDED:
        yield _package(name, "")
    for name, extra in OPTIONAL.items():
        yield _package(name, extra)
    yield from _backends()


def _package(name: str, extra: str) -> Finding:
    try:
        return Finding("packages", name, version(name), "ok")
    except PackageNotFoundError:
        if name == "mlops-workbench":
            return Finding("packages", name, "runs from its source folder", "info")
        fix = f"pip install 'mlops-workbench[{extra}]'" if extra else f"pip install {name}"
        return Finding("packages", name, "not installed", "missing" if extra else "bad", fix)


def _backends() -> Iterator[Finding]:
    from ..compile.base import backend, backend_names

    for name in backend_names():
        missing = backend(name).available()
        if missing is None:
            yield Finding("backends", name, "can run here", "ok")
        else:
            yield Finding("backends", name, missing.what, "missing", missing.fix)
