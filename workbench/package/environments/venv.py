"""A lock as a virtual environment: files linked from this interpreter where it has them, the rest by pip."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...atomic import disk_guard
from ...errors import InputError, PackageError
from ..environment import EnvironmentLock
from ..environment import lock as lock_now
from .installed import Installed, installed

_TAIL = 1500


@dataclass(frozen=True)
class VenvReport:
    """What was built: the folder, its interpreter, how many packages were linked and how many fetched."""

    folder: Path
    python: Path
    linked: int
    fetched: int


def build_venv(lock: EnvironmentLock, out: Path, *, only: Iterable[str] | None = None) -> VenvReport:
    """Build the environment of a lock.

    Parameters
    ----------
    lock
        What is to be in it.
    out
        The folder; must not exist. It is removed again if the environment cannot be built.
    only
        Names of the packages to take; all by default.

    Raises
    ------
    InputError
        If this interpreter is of another Python, or `out` exists.
    PackageError
        If pip cannot find what is not installed here; names the packages. Or if what came out is not the lock.
    StorageFull
        If the device is full; nothing is left behind.
    """
    _same_python(lock)
    if os.path.lexists(out):
        raise InputError("the folder exists already", where=str(out), fix="choose a new one")
    wanted = {line.partition("==")[0]: line for line in lock.packages}
    if only is not None:
        wanted = {name: line for name, line in wanted.items() if name in set(only)}
    here = installed()
    linked = {n: here[n] for n, line in wanted.items() if n in here and line == f"{n}=={here[n].version}"}
    linked = {name: one for name, one in linked.items() if any(one.files())}
    missing = [line for name, line in sorted(wanted.items()) if name not in linked]
    try:
        with disk_guard(out):
            python = _create(out)
            site = _site(out)
            for one in linked.values():
                _link(one, site, python)
        _fetch(missing, python)
        _verify(wanted.values(), site)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    return VenvReport(out, python, len(linked), len(missing))


def _same_python(lock: EnvironmentLock) -> None:
    here = f"{sys.implementation.name} {platform.python_version()}"
    if lock.python != here:
        raise InputError(
            f"the environment is of {lock.python}, this interpreter is {here}",
            where="environment",
            fix="run mlops with that Python, or export a Containerfile",
        )


def _create(out: Path) -> Path:
    import venv

    venv.EnvBuilder(symlinks=True, with_pip=False).create(out)
    return out.absolute() / "bin" / "python"


def _site(out: Path) -> Path:
    return out.absolute() / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def _link(one: Installed, site: Path, python: Path) -> None:
    for relative in one.files():
        source, target = one.site / relative, Path(os.path.normpath(site / relative))
        if not source.is_file() or not target.is_relative_to(python.parents[1]):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.parent == python.parent:
            _script(source, target, python)
        else:
            _same_file(source, target)


def _same_file(source: Path, target: Path) -> None:
    """Link a file, or copy it where that cannot be; two packages may share one."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _script(source: Path, target: Path, python: Path) -> None:
    """Copy a script; its first line names the new interpreter."""
    content = source.read_bytes()
    if content.startswith(b"#!") and b"python" in content.partition(b"\n")[0]:
        content = f"#!{python}\n".encode() + content.partition(b"\n")[2]
    target.write_bytes(content)
    target.chmod(source.stat().st_mode & 0o777)


def _fetch(lines: list[str], python: Path) -> None:
    if not lines:
        return
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        *lines,
    ]
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode:
        known = [line for line in lines if line.partition("==")[0] in result.stderr]
        raise PackageError(
            f"{len(lines)} package(s) are not installed here and pip cannot install them: "
            + ", ".join((known or lines)[:5]),
            where="environment",
            fix="give pip an index that has them (PIP_INDEX_URL), or build on the machine that made the artifact",
            log=result.stderr[-_TAIL:],
            packages=lines,
        )


def _verify(wanted: Iterable[str], site: Path) -> None:
    found, expected = set(lock_now([str(site)]).packages), set(wanted)
    if found != expected:
        differing = sorted(found ^ expected)
        raise PackageError(
            "what was built is not the lock: " + ", ".join(differing[:5]), where=str(site), packages=differing
        )


def versions(lock: EnvironmentLock) -> Mapping[str, str]:
    """Return the version of each package of a lock."""
    return dict(line.partition("==")[::2] for line in lock.packages)
