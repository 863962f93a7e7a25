"""What lies beside the shared object: for which machine it was made, and the digest of its bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ... import codec
from ...atomic import write_bytes
from ...codec import register
from ...errors import CorruptArtifact, WorkbenchError

LIBRARY_FILE = "model.so"
HEADER_FILE = "mlops_model.h"
RECORD_FILE = "target.json"
ABI = 1
"""Grows when the functions of the shared object change."""


@register("compiled_target")
@dataclass(frozen=True)
class CompiledTarget:
    """The facts a loader needs before it opens the shared object.

    Parameters
    ----------
    target
        A name of :data:`workbench.kernels.targets.TARGETS`.
    library
        ``sha256:<hex>`` of the shared object.
    sizes
        Names of the dynamic sizes, in the order in which the code takes them.
    abi
        Version of the functions.
    """

    target: str
    library: str
    sizes: tuple[str, ...]
    abi: int = ABI


def digest_of(path: Path) -> str:
    """Return ``sha256:<hex>`` of a file."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def write_record(folder: Path, target: str, sizes: tuple[str, ...]) -> None:
    """Write the record of a folder's shared object."""
    record = CompiledTarget(target, digest_of(folder / LIBRARY_FILE), sizes)
    write_bytes(folder / RECORD_FILE, codec.dumps(record).encode())


def read_record(folder: Path) -> CompiledTarget:
    """Return the record, after comparing the shared object with it.

    Raises
    ------
    CorruptArtifact
        If a file is missing or damaged, or the shared object is not the one the record was written for.
    """
    path = folder / RECORD_FILE
    try:
        record = codec.loads(path.read_bytes())
        found = digest_of(folder / LIBRARY_FILE)
    except (OSError, ValueError, TypeError, WorkbenchError) as error:
        raise _damaged(f"the compiled model cannot be read: {error}", path) from error
    if not isinstance(record, CompiledTarget) or record.abi != ABI:
        raise _damaged("the record is of another version", path)
    if found != record.library:
        raise _damaged(f"{LIBRARY_FILE} is not the file that was compiled: its digest differs", path)
    return record


def _damaged(what: str, path: Path) -> CorruptArtifact:
    return CorruptArtifact(what, where=str(path), fix="compile it again, or unpack the package again")
