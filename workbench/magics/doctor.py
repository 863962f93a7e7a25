"""What this machine and this environment offer, as a table: read from metadata, nothing heavy is imported."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ..config import home
from ..render.table import Table

PACKAGES = ("mlops-workbench", "ipython", "numpy", "torch", "onnx", "onnxruntime", "starlette", "uvicorn")


class Examination:
    """The rows of the table, each a pair of what and value."""

    def __init__(self, facts: dict[str, str]) -> None:
        self.facts = facts

    def to_json(self) -> dict[str, str]:
        """Return the facts by name."""
        return self.facts

    def _table(self) -> Table:
        return Table(("what", "value"), tuple(self.facts.items()), title="this machine")

    def __repr__(self) -> str:
        return self._table().text()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": self._table().text(), "text/html": self._table().html()}


def examine() -> Examination:
    """Return the versions, the processors, the kernel's tracing and where the store lies."""
    facts = {
        "store": str(home()),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "processors": str(len(os.sched_getaffinity(0))),
        "tracing": _tracing(),
    }
    return Examination(facts | {name: _version(name) for name in PACKAGES})


def _tracing() -> str:
    from ..trace import privileges

    if privileges.can_trace():
        return "eBPF, in this process"
    return "eBPF through a collector if one runs, else perf events or the sampler"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
