"""What is installed, as sorted ``name==version`` lines with one digest.

Read from the names of the ``*.dist-info`` folders on the path: a few milliseconds, where asking
:mod:`importlib.metadata` for each version parses hundreds of files; a folder that has not changed is not read again.
Every step's cache key needs it.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import platform
import re
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .. import codec

FOLDER = re.compile(r"(?P<name>\w[\w.]*)-(?P<version>[^-]+)(?:-py[\d.]+)?\.(?:dist-info|egg-info)")
"""What the folder that describes an installed distribution is called."""


@codec.register("environment_lock")
@dataclass(frozen=True)
class EnvironmentLock:
    """An environment, exactly enough to build it again.

    Parameters
    ----------
    python
        Implementation and version, e.g. ``cpython 3.11.2``.
    platform
        Operating system and machine, e.g. ``linux x86_64``.
    packages
        ``name==version``, names normalised (lower case, ``-``), sorted.
    """

    python: str
    platform: str
    packages: tuple[str, ...]

    @functools.cached_property
    def text(self) -> str:
        """Canonical JSON."""
        return codec.dumps(self)

    @functools.cached_property
    def digest(self) -> str:
        """``sha256:<hex>`` of the canonical text."""
        return "sha256:" + hashlib.sha256(self.text.encode()).hexdigest()


_SETTLED_NS = 2_000_000_000
"""A folder changed more recently may change again without its time of change telling: clocks of files are coarse."""


def search_path() -> list[str]:
    """Return ``sys.path`` without what setuptools adds for itself when something imports it.

    Its copies of other packages are nobody's choice, and they are there in one process and not in the next.
    """
    return [entry for entry in sys.path if Path(entry).name != "_vendor"]


def lock(path: Iterable[str] | None = None) -> EnvironmentLock:
    """Return the lock of this interpreter's environment.

    Parameters
    ----------
    path
        Folders to look in; by default :func:`search_path`. The first of two versions counts, as for imports.

    Examples
    --------
    >>> "numpy" in {line.split("==")[0] for line in lock().packages}
    True
    """
    return _lock(tuple(_installed(folder) for folder in (search_path() if path is None else path)))


@functools.lru_cache(maxsize=4)
def _lock(folders: tuple[tuple[tuple[str, str], ...], ...]) -> EnvironmentLock:
    """Return the lock of what folders name: the same object for the same names, so its digest is made once."""
    found: dict[str, str] = {}
    for name, version in itertools.chain.from_iterable(folders):
        found.setdefault(name, version)
    return EnvironmentLock(
        python=f"{sys.implementation.name} {platform.python_version()}",
        platform=f"{sys.platform} {platform.machine()}",
        packages=tuple(sorted(f"{name}=={version}" for name, version in found.items())),
    )


def _installed(folder: str) -> tuple[tuple[str, str], ...]:
    try:
        path = os.path.abspath(folder)  # noqa: PTH100 - resolves no link, touches no disk
        changed_ns = os.stat(path).st_mtime_ns  # noqa: PTH116 - as above
        return (_named if time.time_ns() - changed_ns < _SETTLED_NS else _named_at)(path, changed_ns)
    except OSError:  # sys.path may name zip files and folders that are not there
        return ()


def _named(folder: str, _: int) -> tuple[tuple[str, str], ...]:
    """Return what a folder names."""
    matches = [FOLDER.fullmatch(name) for name in os.listdir(folder)]  # noqa: PTH208 - only names are wanted
    return tuple((normal(match["name"]), match["version"]) for match in matches if match)


_named_at = functools.lru_cache(maxsize=64)(_named)


def normal(name: str) -> str:
    """Return a distribution's name as locks write it: lower case, ``-`` for runs of ``-_.``."""
    return re.sub(r"[-_.]+", "-", name).lower()
