"""The seam every backend implements, and the backends there are: one file each in ``backends/``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from ..errors import UnknownBackend, WorkbenchError
from ..session import Runner
from .config import CompileConfig
from .options import NoOptions
from .source import Source

Progress = Callable[[float, str], None]
"""Called with the share done and a line of text."""


class Backend(Protocol):
    """What one file of ``backends/`` provides as ``BACKEND``."""

    name: str
    about: str
    """What it is, in a few words."""
    reference: bool
    """True if it runs the program itself, so that there is nothing to compare it with."""
    options: type[Any]
    """Its own options: a frozen dataclass, see :mod:`workbench.compile.options`."""
    schemes: tuple[str, ...]
    """Number formats worth measuring in it, for ``--backend auto``; names of :mod:`workbench.quantize.named`."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The machines it can compile for by name; none if it compiles for the one it runs on."""

    def available(self) -> WorkbenchError | None:
        """Return None if it can run here, else what is missing and the command that installs it."""

    def refuses(self, target: str) -> WorkbenchError | None:
        """Return None if it can compile for a target here, else what is missing (a compiler, a GPU)."""

    def compile(
        self, source: Source, out: Path, config: CompileConfig, progress: Progress
    ) -> Mapping[str, str]:
        """Write the model's files into `out`; return the versions of what made them."""

    def load(self, compiled: Path, threads: int) -> Runner:
        """Return the forward pass of a compiled folder."""

    def rehearse(self, compiled: Path, threads: int) -> Runner:
        """Return what is compared with eager: the same, or its like where another machine was the target."""


class ForThisMachine:
    """What a backend has in common with others that compile for the machine they run on."""

    targets: tuple[str, ...] = ()
    options: type[Any] = NoOptions
    schemes: tuple[str, ...] = ()

    def refuses(self, target: str) -> WorkbenchError | None:
        """Return None: there is no other machine to lack a compiler for."""
        return None

    def load(self, compiled: Path, threads: int) -> Runner:
        """Return the forward pass of a compiled folder."""
        raise NotImplementedError

    def rehearse(self, compiled: Path, threads: int) -> Runner:
        """Return the same: it runs here."""
        return self.load(compiled, threads)


def backend_names() -> tuple[str, ...]:
    """Return the names of all backends, whether or not they can run here."""
    folder = Path(__file__).parent / "backends"
    return tuple(sorted(module.name for module in pkgutil.iter_modules([str(folder)])))


def backend(name: str) -> Backend:
    """Return a backend by name.

    Raises
    ------
    UnknownBackend
        If there is none of this name; lists those there are.
    """
    if name not in backend_names():
        raise UnknownBackend(
            f"there is no backend {name!r}", where=name, fix=f"backends: {', '.join(backend_names())}"
        )
    found: Backend = importlib.import_module(f"{__package__}.backends.{name}").BACKEND
    return found
