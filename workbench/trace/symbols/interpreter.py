"""The Python interpreter inside any process: which version, and where its runtime lies.

Needs nothing of the process: the interpreter's file says where ``_PyRuntime`` is linked and which version it
is, the process's memory map says where the file was loaded.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..layout import LAYOUTS, Layout
from .exports import Exports
from .files import mapped_file

_FILE = re.compile(r"(?:libpython|python)3[\d.]*(t?)(?:\.so[\d.]*)?$")


@dataclass(frozen=True)
class Interpreter:
    """An interpreter we can walk: address of ``_PyRuntime`` in the process, and its version's layout."""

    runtime: int
    layout: Layout

    def walk(self) -> tuple[int, ...]:
        """Return the request's ``python`` field."""
        walk = self.layout.walk
        return self.runtime, *(getattr(walk, name) for name in walk.__dataclass_fields__)


def find_interpreter(pid: int) -> tuple[Interpreter | None, str]:
    """Return a process's interpreter, or None and why there is none to walk.

    Examples
    --------
    >>> import sys
    >>> found, why = find_interpreter(os.getpid())
    >>> (found is None) == bool(why)
    True
    """
    try:
        lines = Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines()
    except OSError as error:
        return None, f"process {pid} cannot be looked at: {error.strerror}"
    for line in lines:
        addresses, rights, offset, device, inode, *path = line.split(None, 5)
        # Private: a loader's mapping, not that of somebody who reads the file as we do.
        if path and rights.endswith("p") and int(offset, 16) == 0:
            named = _FILE.match(os.path.basename(path[0]))  # noqa: PTH119
            file = mapped_file(pid, path[0], device, inode)
            found = _inspect(file, int(addresses.split("-")[0], 16), named[1]) if named else None
            if found is not None:
                return found
    return None, f"process {pid} runs no Python we know"


def _inspect(path: Path, base: int, free_threaded: str) -> tuple[Interpreter | None, str] | None:
    """Return what a file says; None when it is a launcher that holds no interpreter."""
    with contextlib.suppress(OSError, ValueError), _opened(path) as exports:
        runtime = exports.variable("_PyRuntime")
        version = exports.variable("Py_Version")
        if runtime is None:
            return None
        number = exports.constant(version) if version else 0
        found = (number >> 24 & 0xFF, number >> 16 & 0xFF)
        shown = f"CPython {found[0]}.{found[1]}{free_threaded}" if number else "this CPython"
        if found not in LAYOUTS or free_threaded:
            return None, f"Python frames of {shown} are not supported yet"
        return Interpreter(base + exports.shift() + runtime, LAYOUTS[found]), ""
    return None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Exports]:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield Exports(handle)
    finally:
        os.close(handle)
