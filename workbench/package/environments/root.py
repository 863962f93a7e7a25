"""What an image needs below the packages: the interpreter, its library, and the shared libraries all of it loads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from ...errors import PackageError
from ..tar_layer import Member
from .installed import Installed

ENVIRONMENT = PurePosixPath("opt/environment")
"""Where an image has its virtual environment."""
VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"
SITE = ENVIRONMENT / "lib" / VERSION / "site-packages"

_NEEDED = re.compile(r"(?:=> )?(/\S+) \(0x")
_SKIPPED = {
    "__pycache__",
    "test",
    "tests",
    "idlelib",
    "turtledemo",
    "ensurepip",
    "site-packages",
    "dist-packages",
}
_BATCH = 50
_PASSWD = b"root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n"


def interpreter() -> Iterator[Member]:
    """Yield the interpreter and its standard library, at the places they have here."""
    binary = Path(os.path.realpath(sys.executable))
    yield Member(_at(binary), binary, executable=True)
    for root in sorted({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}):
        base = Path(root.replace(sys.prefix, sys.base_prefix, 1))
        for path in _walk(base):
            yield Member(_at(path), path)
    home = f"home = {binary.parent}\ninclude-system-site-packages = false\n"
    yield Member(ENVIRONMENT / "pyvenv.cfg", home.encode())
    for name in ("python", "python3"):
        yield Member(ENVIRONMENT / "bin" / name, link=str(binary))


def packages(chosen: Iterable[Installed], *, libraries: bool = False) -> Iterator[Member]:
    """Yield the files of distributions, below :data:`SITE`; scripts are left out (they name an interpreter).

    With `libraries`, only those that load others.
    """
    for one in chosen:
        for relative in one.files():
            if libraries and ".so" not in relative:
                continue
            source = one.site / relative
            if relative.startswith("..") or relative.endswith(".pth") or not source.is_file():
                continue
            yield Member(SITE / relative, source, executable=os.access(source, os.X_OK))


def own_source(folder: Path) -> Iterator[Member]:
    """Yield the workbench itself, wherever it is imported from."""
    for path in _walk(folder):
        yield Member(SITE / folder.name / path.relative_to(folder).as_posix(), path)


def system(members: Iterable[Member]) -> Iterator[Member]:
    """Yield the shared libraries that these files load, the loader, and the few files a system has.

    Raises
    ------
    PackageError
        If the dynamic loader cannot be asked.
    """
    binaries = [m.source for m in members if isinstance(m.source, Path) and _loads(m.source)]
    packed, found = {os.path.realpath(path) for path in binaries}, set[str]()
    batches = [binaries[at : at + _BATCH] for at in range(0, len(binaries), _BATCH)]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found.update(*pool.map(_needed, batches))
    for path in sorted(map(Path, found)):
        if os.path.realpath(path) in packed:  # beside its package already
            continue
        yield Member(_at(path), Path(os.path.realpath(path)), executable=True)
    yield Member(PurePosixPath("etc/passwd"), _PASSWD)
    yield Member(PurePosixPath("etc/group"), b"root:x:0:\nnonroot:x:65532:\n")
    yield Member(PurePosixPath("tmp/.keep"), b"")


def _needed(binaries: list[Path]) -> set[str]:
    """Ask the loader which libraries these files load, and where it finds them (``ldd``)."""
    try:
        result = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True)
    except FileNotFoundError as error:
        raise PackageError(
            "the shared libraries cannot be listed: no ldd", where="image", fix="apt-get install libc-bin"
        ) from error
    return {match[1] for line in result.stdout.splitlines() if (match := _NEEDED.search(line))}


def _loads(path: Path) -> bool:
    if ".so" not in path.name and not path.name.startswith("python"):
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _walk(base: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(base):
        names[:] = sorted(set(names) - _SKIPPED)
        for name in sorted(files):
            path = Path(folder) / name
            if path.is_file() and not name.endswith((".pyc", ".a")):
                yield path


def _at(path: Path) -> PurePosixPath:
    return PurePosixPath(path).relative_to("/")
