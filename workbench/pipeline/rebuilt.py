"""The environments that steps in a sandbox use: rebuilt from locks, once each, below ``environments`` of the store.

::

    <lock>          a virtual environment, where it is not this one
    <base>          the image layout of its interpreter and the system's libraries
    <base>-root     the image, unpacked for runc
    <base>-buildah  the image, as buildah keeps it
"""

from __future__ import annotations

import hashlib
import shutil
import site
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..package.environment import EnvironmentLock, lock
from ..package.environments import build_base, build_venv, installed, unpack_image
from ..package.environments.buildah import Image, described, image_of
from ..package.staged import staged_folder
from ..store.database import exclusive
from .workers.order import search_path

if TYPE_CHECKING:
    from ..store import Store
    from .workers.order import Order

_FOLDER = "environments"


def interpreter_for(store: Store, wanted: EnvironmentLock | None) -> Path:
    """Return the Python of an environment: this one where it is the same, else one built for it, once.

    Raises
    ------
    PackageError, InputError
        If it cannot be built.
    """
    if wanted is None or wanted.digest == lock().digest:
        return Path(sys.executable)
    folder = store.home / _FOLDER / wanted.digest.removeprefix("sha256:")[:16]
    python = folder / "bin" / "python"
    if not python.exists():
        folder.parent.mkdir(exist_ok=True)
        build_venv(wanted, folder)
    return python


def root_for(store: Store, wanted: EnvironmentLock, python: Path) -> Image:
    """Return the unpacked image of an environment, made once.

    Raises
    ------
    StorageFull, PackageError
        If it cannot be made; nothing is left of it.
    """
    with exclusive(_locked(store)):
        layout = _layout(store, wanted, python)
        root = layout.with_name(f"{layout.name}-root")
        if not root.exists():
            with staged_folder(root) as new:
                unpack_image(layout, new)
        return described(layout, root)


def image_for(store: Store, wanted: EnvironmentLock, python: Path) -> Image:
    """Return the image of an environment as buildah keeps it, made once.

    Raises
    ------
    StorageFull, PackageError, MissingDependency, InputError
        If it cannot be made; nothing is left of it.
    """
    with exclusive(_locked(store)):
        layout = _layout(store, wanted, python)
        return image_of(layout, layout.with_name(f"{layout.name}-buildah"))


def _locked(store: Store) -> Path:
    folder = store.home / _FOLDER
    folder.mkdir(exist_ok=True)
    return folder / "lock"


def _layout(store: Store, wanted: EnvironmentLock, python: Path) -> Path:
    """Return the image layout that an environment of this interpreter has below its packages."""
    key = f"{wanted.digest} {Path(sys.executable).resolve()}"
    layout = store.home / _FOLDER / f"base-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    for left in layout.parent.glob(f".{layout.name}*"):  # of a process that was killed: the lock is ours
        shutil.rmtree(left, ignore_errors=True)
    if not layout.exists():
        built = sorted(map(str, python.parents[1].glob("lib/python*/site-packages")))
        packages = installed(sys.path if python == Path(sys.executable) else built)
        build_base(layout, wanted, packages.values())
    return layout


def in_environment(order: Order, wanted: EnvironmentLock) -> Order:
    """Return an order for an environment: it records that one, and finds nothing of another that asks for it."""
    if wanted.digest == lock().digest:
        return order
    return replace(order, environment=wanted.digest, search_path=of_the_user())


def of_the_user() -> tuple[str, ...]:
    """Return where this process imports from apart from its interpreter's own folders."""
    own = (sys.prefix, sys.base_prefix, site.getusersitepackages())
    return tuple(entry for entry in search_path() if not any(Path(entry).is_relative_to(one) for one in own))
