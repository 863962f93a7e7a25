"""A step's process in a sandbox: the locked environment, the store, and nothing else of the machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ..package.environment import EnvironmentLock, lock
from ..package.environments import Place, Sandbox, build_venv
from . import child

if TYPE_CHECKING:
    from ..package.isolation import Isolation
    from ..store import Store

_PASSED = (*child.STEADY, "PYTHONPATH", "LANG", "TZ")
"""What a sandbox sees of the environment's variables: the others may hold secrets."""


class IsolatedStep:
    """The process of one step in a sandbox; its bundle goes with it."""

    def __init__(self, store: Store, order: Path, out: IO[bytes], isolation: Isolation, python: Path) -> None:
        self._folder = store.scratch()
        search = [Path(entry) for entry in sys.path if entry]
        places = [
            *(Place(path) for path in _outermost([*_interpreter(python), *search, _workbench(), Path.cwd()])),
            Place(store.home, writable=True),
        ]
        variables = {key: value for key, value in child.steady().items() if key in _PASSED}
        self._sandbox = Sandbox(
            self._folder,
            [str(python), "-m", "workbench.pipeline.step", str(order)],
            environment={**variables, "PATH": "/usr/bin:/bin", "HOME": "/tmp", "PYTHONUNBUFFERED": "1"},  # noqa: S108
            cwd=Path.cwd(),
            isolation=isolation,
            places=places,
        )
        try:
            self.process = self._sandbox.start(
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """End whatever the step left behind."""
        self._sandbox.remove()
        shutil.rmtree(self._folder, ignore_errors=True)


def interpreter_for(store: Store, wanted: EnvironmentLock | None) -> Path:
    """Return the Python of an environment: this one where it is the same, else one built for it, once.

    Raises
    ------
    PackageError, InputError
        If it cannot be built.
    """
    if wanted is None or wanted.digest == lock().digest:
        return Path(sys.executable)
    folder = store.home / "environments" / wanted.digest.removeprefix("sha256:")[:16]
    python = folder / "bin" / "python"
    if not python.exists():
        folder.parent.mkdir(exist_ok=True)
        build_venv(wanted, folder)
    return python


def _interpreter(python: Path) -> list[Path]:
    """Return the folders an interpreter is made of: its virtual environment, and what that is made from."""
    folders = [python.parents[1], Path(sys.base_prefix)]
    return [folder for folder in folders if folder != Path("/usr")]


def _workbench() -> Path:
    return Path(__file__).resolve().parents[1]


def _outermost(folders: list[Path]) -> list[Path]:
    """Return the folders that exist and lie in none of the others; the system's are there anyway."""
    known = sorted({folder.absolute() for folder in folders if folder.exists()}, key=lambda p: len(p.parts))
    kept: list[Path] = []
    for folder in known:
        inside = any(folder.is_relative_to(other) for other in (*kept, Path("/usr")))
        if not inside and folder != Path("/"):
            kept.append(folder)
    return kept
