"""A step's process in a sandbox: the locked environment, the store, and nothing else of the machine.

What makes the sandbox is the recipe's choice. For runc the system's folders are this machine's; for buildah they and
the interpreter are an image's, built from the lock once. Both are shown the packages, the user's code and the store
where they lie here.
"""

from __future__ import annotations

import hashlib
import shutil
import site
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ..package.environment import EnvironmentLock, lock
from ..package.environments import Place, Sandbox, build_venv
from ..package.environments.buildah import BuildahSandbox, Image, image_of, require
from ..package.environments.sandbox import BUNDLE, sweep
from ..render.units import size
from ..store import owner
from ..store.database import exclusive
from . import child
from .workers.order import search_path

if TYPE_CHECKING:
    from ..package.isolation import Isolation
    from ..store import Store
    from .workers.order import Order

_PASSED = (*child.STEADY, "PYTHONPATH", "LANG", "TZ")
"""What a sandbox sees of the environment's variables: the others may hold secrets."""


class IsolatedStep:
    """The process of one step in a sandbox; its bundle goes with it.

    Parameters
    ----------
    store, order
        The store, and the file that says what to run.
    out
        The step's log; the first line says what made the sandbox.
    isolation
        Its limits.
    wanted
        The environment to use there, this one by default.
    """

    _sandbox: Sandbox | None = None

    def __init__(
        self,
        store: Store,
        order: Path,
        out: IO[bytes],
        isolation: Isolation,
        wanted: EnvironmentLock | None,
    ) -> None:
        make = {"runc": _runc, "buildah": _buildah}[isolation.sandbox]
        _sweep(store)
        self._folder = store.scratch()
        try:
            self._sandbox = make(store, self._folder, order, isolation, wanted)
            self.made_by = self._sandbox.made_by
            memory = size(isolation.memory_bytes)
            self.bounds = f" in a sandbox with {memory} of memory (--memory)"
            out.write(f"in a sandbox: {self.made_by}\n".encode())
            out.flush()
            self.process = self._sandbox.start(
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )
            owner.hand_over(self._folder, self.process.pid)
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """End whatever the step left behind."""
        if self._sandbox is not None:
            self._sandbox.remove()
        shutil.rmtree(self._folder, ignore_errors=True)


def _runc(
    store: Store, folder: Path, order: Path, isolation: Isolation, wanted: EnvironmentLock | None
) -> Sandbox:
    python = interpreter_for(store, wanted)
    shown = _outermost([*_prefix(python), Path(sys.base_prefix), *_code(python)], [Path("/usr")])
    return Sandbox(
        folder,
        _command(python, order),
        environment=_variables(),
        cwd=Path.cwd(),
        isolation=isolation,
        places=_places(shown, store),
    )


def _buildah(
    store: Store, folder: Path, order: Path, isolation: Isolation, wanted: EnvironmentLock | None
) -> BuildahSandbox:
    require()
    python = interpreter_for(store, wanted)
    built = python.parents[1].glob("lib/python*/site-packages")
    packages = sys.path if python == Path(sys.executable) else sorted(map(str, built))
    image = image_for(store, wanted or lock(), packages)
    its_own = [Path(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib")]
    code = [path for path in _code(python) if path not in its_own and path.name != "lib-dynload"]
    environment = _prefix(python) if (python.parents[1] / "pyvenv.cfg").exists() else []
    return BuildahSandbox(
        folder,
        _command(python, order),
        environment=_variables(),
        cwd=Path.cwd(),
        isolation=isolation,
        places=_places(_outermost([*environment, *code]), store),
        image=image,
    )


def image_for(store: Store, wanted: EnvironmentLock, packages: Sequence[str]) -> Image:
    """Return the image of an environment, built once for it and the interpreter it is made from.

    Raises
    ------
    StorageFull, PackageError, MissingDependency, InputError
        If it cannot be built; nothing is left of it.
    """
    binary = Path(sys.executable).resolve()
    name = hashlib.sha256(f"{wanted.digest} {binary}".encode()).hexdigest()[:16]
    folder = store.home / "environments" / f"{name}-image"
    folder.parent.mkdir(exist_ok=True)
    with exclusive(folder.parent / "image.lock"):
        return image_of(wanted, folder, packages)


def in_environment(order: Order, wanted: EnvironmentLock) -> Order:
    """Return an order for an environment: it records that one, and finds nothing of another that asks for it."""
    if wanted.digest == lock().digest:
        return order
    return replace(order, environment=wanted.digest, search_path=_of_the_user())


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


def _command(python: Path, order: Path) -> list[str]:
    return [str(python), "-m", "workbench.pipeline.step", str(order)]


def _prefix(python: Path) -> list[Path]:
    """Return where an interpreter's environment is, also where that is a link to it."""
    return [python.parents[1], python.parents[1].resolve()]


def _variables() -> dict[str, str]:
    passed = {key: value for key, value in child.steady().items() if key in _PASSED}
    return {**passed, "PATH": "/usr/bin:/bin", "HOME": "/tmp", "PYTHONUNBUFFERED": "1"}  # noqa: S108


def _code(python: Path) -> list[Path]:
    """Return what a Python is to import from beside its own, the workbench and where the user is."""
    entries = sys.path if python == Path(sys.executable) else _of_the_user()
    return [*(Path(entry) for entry in entries if entry), Path(__file__).resolve().parents[1], Path.cwd()]


def _of_the_user() -> tuple[str, ...]:
    """Return where this process imports from apart from its interpreter's own folders."""
    own = (sys.prefix, sys.base_prefix, site.getusersitepackages())
    return tuple(entry for entry in search_path() if not any(Path(entry).is_relative_to(one) for one in own))


def _places(shown: list[Path], store: Store) -> list[Place]:
    return [*(Place(path) for path in shown), Place(store.home, writable=True)]


def _sweep(store: Store) -> None:
    """Remove the sandboxes that killed processes left."""
    for folder in (store.home / "scratch").iterdir():
        if (folder / BUNDLE).exists() and not owner.holds(folder):
            sweep(folder)


def _outermost(folders: list[Path], there: Sequence[Path] = ()) -> list[Path]:
    """Return the folders that exist and lie in none of the others, nor in those that are `there` anyway."""
    known = sorted({folder.absolute() for folder in folders if folder.exists()}, key=lambda p: len(p.parts))
    kept: list[Path] = []
    for folder in known:
        inside = any(folder.is_relative_to(other) for other in (*kept, *there))
        if not inside and folder != Path("/"):
            kept.append(folder)
    return kept
