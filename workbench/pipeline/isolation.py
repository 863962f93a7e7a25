"""A step's process in a sandbox: the locked environment, the store, and nothing else of the machine.

What makes the sandbox is the recipe's choice: runc with this machine's system and interpreter, or runc or buildah with
an image's, built from the lock once. All are shown the packages, the user's code and the store where they lie here.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..package.environment import EnvironmentLock, lock
from ..package.environments import Place, Sandbox, buildah, sandbox
from ..render.units import size
from ..store import owner
from . import child
from .rebuilt import image_for, interpreter_for, of_the_user, root_for

if TYPE_CHECKING:
    from ..package.isolation import Isolation
    from ..store import Store

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
        make = {"runc": _runc, "image": _image, "buildah": _buildah}[isolation.sandbox]
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
    return Sandbox(folder, _command(python, order), **_common(store, isolation, shown))


def _image(
    store: Store, folder: Path, order: Path, isolation: Isolation, wanted: EnvironmentLock | None
) -> Sandbox:
    sandbox.require()
    python = interpreter_for(store, wanted)
    image = root_for(store, wanted or lock(), python)
    common = _common(store, isolation, _beside_image(python))
    return Sandbox(
        folder, _command(python, order), **common, root=image.folder, shown=f"image {image.digest}"
    )


def _buildah(
    store: Store, folder: Path, order: Path, isolation: Isolation, wanted: EnvironmentLock | None
) -> Sandbox:
    buildah.require()
    python = interpreter_for(store, wanted)
    image = image_for(store, wanted or lock(), python)
    common = _common(store, isolation, _beside_image(python))
    return buildah.BuildahSandbox(folder, _command(python, order), **common, image=image)


def _common(store: Store, isolation: Isolation, shown: list[Path]) -> dict[str, Any]:
    """Return what is the same for all sandboxes, whatever the folders it is shown."""
    passed = {key: value for key, value in child.steady().items() if key in _PASSED}
    return {
        "environment": {**passed, "PATH": "/usr/bin:/bin", "HOME": "/tmp", "PYTHONUNBUFFERED": "1"},  # noqa: S108
        "cwd": Path.cwd(),
        "isolation": isolation,
        "places": [*(Place(path) for path in shown), Place(store.home, writable=True)],
    }


def _beside_image(python: Path) -> list[Path]:
    """Return what a step in an image is shown of this machine: the packages and the user's code."""
    its_own = [Path(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib")]
    code = [path for path in _code(python) if path not in its_own and path.name != "lib-dynload"]
    environment = _prefix(python) if (python.parents[1] / "pyvenv.cfg").exists() else []
    return _outermost([*environment, *code])


def _command(python: Path, order: Path) -> list[str]:
    return [str(python), "-m", "workbench.pipeline.step", str(order)]


def _prefix(python: Path) -> list[Path]:
    """Return where an interpreter's environment is, also where that is a link to it."""
    return [python.parents[1], python.parents[1].resolve()]


def _code(python: Path) -> list[Path]:
    """Return what a Python is to import from beside its own, the workbench and where the user is."""
    entries = sys.path if python == Path(sys.executable) else of_the_user()
    return [*(Path(entry) for entry in entries if entry), Path(__file__).resolve().parents[1], Path.cwd()]


def _sweep(store: Store) -> None:
    """Remove the sandboxes that killed processes left."""
    for folder in (store.home / "scratch").iterdir():
        if (folder / sandbox.BUNDLE).exists() and not owner.holds(folder):
            sandbox.sweep(folder)


def _outermost(folders: list[Path], there: Sequence[Path] = ()) -> list[Path]:
    """Return the folders that exist and lie in none of the others, nor in those that are `there` anyway."""
    known = sorted({folder.absolute() for folder in folders if folder.exists()}, key=lambda p: len(p.parts))
    kept: list[Path] = []
    for folder in known:
        inside = any(folder.is_relative_to(other) for other in (*kept, *there))
        if not inside and folder != Path("/"):
            kept.append(folder)
    return kept
