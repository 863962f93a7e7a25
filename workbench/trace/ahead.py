"""Libraries a cell may load while it is traced: their functions are probed before it does.

A probe lies in a file, and is in place in whatever maps the file later; but the collector takes only functions of
code the traced process has mapped. So this process maps what its own environment has and it has not loaded yet, for as
long as asking takes. Nothing in there is run.
"""

from __future__ import annotations

import contextlib
import importlib.util
import mmap
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_LIBRARIES: dict[str, dict[str, tuple[str, ...]]] = {
    "alloc": {"torch": ("lib/libc10.so",)},
    "operators": {
        "torch": ("lib/libtorch_cpu.so", "lib/libtorch_python.so"),
        "tvm": ("lib/libtvm_runtime.so",),
        "tvm_ffi": ("lib/libtvm_ffi.so",),
    },
}
"""Files of a package with functions of a probe (:mod:`.functions`)."""


class Ahead:
    """Maps them while its block runs.

    Parameters
    ----------
    probes
        Names; those without such libraries map nothing.
    """

    def __init__(self, probes: Sequence[str]) -> None:
        self._probes = probes
        self._kept = contextlib.ExitStack()
        self._paths: list[str] = []

    def __enter__(self) -> Self:
        for path in _absent(self._probes):
            with contextlib.suppress(OSError, ValueError):  # gone, or no file that can be executed
                handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    protection = mmap.PROT_READ | mmap.PROT_EXEC
                    self._kept.enter_context(mmap.mmap(handle, 0, flags=mmap.MAP_PRIVATE, prot=protection))
                finally:
                    os.close(handle)
                self._paths.append(os.path.realpath(path))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kept.close()

    def unused(self) -> set[str]:
        """Return the names of those that this process has not loaded since."""
        maps = Path("/proc/self/maps").read_text(errors="replace") if self._paths else ""
        return {Path(path).name for path in self._paths if f" {path}\n" not in maps}


def _absent(probes: Sequence[str]) -> Iterator[Path]:
    for probe in probes:
        for package, patterns in _LIBRARIES.get(probe, {}).items():
            if package in sys.modules:
                continue
            with contextlib.suppress(ImportError, ValueError):
                spec = importlib.util.find_spec(package)
                for folder in (spec.submodule_search_locations or ()) if spec else ():
                    for pattern in patterns:
                        yield from sorted(Path(folder).glob(pattern))
