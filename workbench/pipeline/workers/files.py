"""Values of steps as folders: a file or folder the user names, or any value of tensors and plain data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from ...atomic import disk_guard, inside
from ...errors import StepFailed
from ...store import Store
from .. import data

_PATH = "path.json"


def write(value: Any, folder: Path, where: str) -> None:
    """Fill a folder with a value; a :class:`pathlib.Path` is copied, with its name. `where` is the step.

    Raises
    ------
    StepFailed
        If there is nothing at the path, or nothing in it.
    BadTensor
        If something in the value can be no data.
    """
    if not isinstance(value, Path):
        data.write(value, folder)
        return
    if not value.exists() or (value.is_dir() and not any(value.rglob("*"))):
        raise StepFailed(
            f"it returned {value}, and there is nothing", where=where, fix="write the file before returning"
        )
    with disk_guard(folder):
        if value.is_dir():
            shutil.copytree(value, folder / value.name)
        else:
            shutil.copyfile(value, folder / value.name)
        (folder / _PATH).write_text(json.dumps({"name": value.name}))


def read(store: Store, digest: str, *, wants_path: bool = False) -> Any:
    """Return what an artifact holds: the path where one was stored or is wanted, else the value."""
    store.artifacts.verify(digest)
    folder = store.artifacts.path(digest)
    if (folder / _PATH).is_file():
        return inside(folder, json.loads((folder / _PATH).read_bytes())["name"])
    return folder if wants_path or not (folder / "structure.json").is_file() else data.read(folder)
