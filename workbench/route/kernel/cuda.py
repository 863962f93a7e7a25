"""The router's part in watching a replica's CUDA calls: attach the programs and pin their links."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...bpf.libbpf import BpfObject, Library
from ...errors import BadRequest
from .layout import PER_TRACK
from .pinned import SHARED, opened

RETURN, LAUNCH = "on_cuda_return", "on_cuda_launch"
MOST_FUNCTIONS = 1_024
MOST_LINKS = 8 * PER_TRACK
"""Of a deployment: each is a program in the kernel's memory, for whoever asks."""


def watch(
    library: Library, folder: Path, program: bytes, pid: int, file: int, offsets: Mapping[str, Sequence[int]]
) -> None:
    """Watch the calls that one process makes to one library, until the deployment is unpinned; once only.

    Parameters
    ----------
    file
        Descriptor of the library: no path is followed with our rights.
    offsets
        Where its functions are, bytes, by :data:`RETURN` and :data:`LAUNCH`.

    Raises
    ------
    BadRequest
        If there are too many.
    TraceError, NoPrivilege
        If the kernel refuses.
    """
    found = os.fstat(file)
    names = [f"cuda_{pid}_{found.st_dev}_{found.st_ino}_{name}" for name in (RETURN, LAUNCH) if offsets[name]]
    if not names or all((folder / name).exists() for name in names):
        return
    if sum(len(offsets[name]) for name in (RETURN, LAUNCH)) > MOST_FUNCTIONS:
        raise BadRequest("too many functions", where="router")
    _forget_the_dead(folder)
    if len(list(folder.glob("cuda_*"))) + len(names) > MOST_LINKS:
        raise BadRequest("too many libraries", where="router")
    with opened(library, folder, SHARED) as shared:
        loaded = BpfObject(library, "cuda", program, shared, functions=(RETURN, LAUNCH))
    try:
        for name in (RETURN, LAUNCH):
            if offsets[name]:
                loaded.attach_functions(
                    name, f"/proc/self/fd/{file}", pid, offsets[name], returns=name == RETURN
                )
        loaded.pin_functions(names, folder)
    except BaseException:
        for name in names:  # half of them would be in the way of the next try
            (folder / name).unlink(missing_ok=True)
        raise
    finally:
        loaded.close()


def _forget_the_dead(folder: Path) -> None:
    for link in folder.glob("cuda_*"):
        if not Path(f"/proc/{link.name.split('_')[1]}").exists():
            link.unlink(missing_ok=True)
