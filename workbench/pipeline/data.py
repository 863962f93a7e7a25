"""Tensors, arrays and plain values of the notebook as a ``data`` artifact: equal values have equal digests.

::

    structure.json         nested lists, tuples, dicts and plain values; a tensor is a number into the next
    tensors.safetensors    every tensor and array, under that number
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..atomic import disk_guard
from ..errors import BadTensor, CorruptArtifact
from ..store import ArtifactDraft, Store
from ..store.blobs import remove_tree

_STRUCTURE, _TENSORS = "structure.json", "tensors.safetensors"
_PLAIN = (str, int, float, bool, type(None))


def put(store: Store, value: Any) -> str:
    """Store a value and return its digest.

    Parameters
    ----------
    value
        Torch tensors, numpy arrays, strings, numbers, and lists, tuples and dicts of them at any depth.

    Raises
    ------
    BadTensor
        If something else is in it.
    """
    scratch = store.scratch()
    try:
        write(value, scratch)
        return store.artifacts.put(ArtifactDraft("data", scratch))
    finally:
        remove_tree(scratch)


def put_files(store: Store, files: Sequence[Path]) -> str:
    """Store files as they are, by their names, and return the digest."""
    scratch = store.scratch()
    try:
        with disk_guard(scratch):
            for path in files:
                shutil.copyfile(path, scratch / path.name)
        return store.artifacts.put(ArtifactDraft("data", scratch))
    finally:
        remove_tree(scratch)


def write(value: Any, folder: Path) -> None:
    """Fill a folder with a value; see :func:`put`."""
    tensors: dict[str, Any] = {}
    structure = _encode(value, tensors)
    # Written as they are: the folder is the caller's own until the store copies it, and syncs the copies.
    with disk_guard(folder):
        (folder / _STRUCTURE).write_text(json.dumps(structure, separators=(",", ":")))
    if not tensors:
        return
    if any(_is_tensor(t) for t in tensors.values()):
        import torch
        from safetensors.torch import save

        content = save(
            # cloned: safetensors refuses tensors that share memory, as the parts of a split do
            {
                k: (t if _is_tensor(t) else torch.from_numpy(t)).detach().cpu().contiguous().clone()
                for k, t in tensors.items()
            }
        )
    else:
        import numpy
        from safetensors.numpy import save as save_arrays

        content = save_arrays({k: numpy.ascontiguousarray(t) for k, t in tensors.items()})
    with disk_guard(folder):
        (folder / _TENSORS).write_bytes(content)


def read(folder: Path) -> Any:
    """Return the value of a data folder: tensors as torch tensors, arrays as numpy arrays.

    Raises
    ------
    CorruptArtifact
        If the folder is not one that :func:`write` filled.
    """
    try:
        structure = json.loads((folder / _STRUCTURE).read_bytes())
        return _decode(structure, _reader(folder / _TENSORS, structure))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptArtifact(f"the data cannot be read: {error}", where=str(folder)) from error


def _encode(value: Any, tensors: dict[str, Any]) -> Any:
    if isinstance(value, _PLAIN):
        return {"value": value}
    if _is_tensor(value) or (_is_array(value) and value.dtype.kind in "biufc"):
        key = f"{len(tensors):08d}"
        tensors[key] = value
        return {"tensor" if _is_tensor(value) else "array": key}
    if isinstance(value, Mapping):
        return {"dict": [[_encode(k, tensors), _encode(v, tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return {"tuple" if isinstance(value, tuple) else "list": [_encode(v, tensors) for v in value]}
    raise BadTensor(
        f"a {type(value).__name__} cannot be carried as data",
        where="data",
        fix="pass tensors, arrays, strings, numbers, or lists, tuples and dicts of them",
    )


def _decode(form: Any, tensor: Callable[[str, bool], Any]) -> Any:
    ((kind, body),) = form.items()
    if kind == "value":
        return body
    if kind in ("tensor", "array"):
        return tensor(body, kind == "tensor")
    if kind == "dict":
        return {_decode(k, tensor): _decode(v, tensor) for k, v in body}
    items = [_decode(item, tensor) for item in body]
    return tuple(items) if kind == "tuple" else items


def _reader(path: Path, structure: Any) -> Callable[[str, bool], Any]:
    loaded: dict[str, Any] = {}
    if path.is_file():
        if '"tensor"' in json.dumps(structure):
            from safetensors.torch import load_file

            loaded = load_file(path)
        else:
            from safetensors.numpy import load_file as load_arrays

            loaded = load_arrays(path)

    def tensor(key: str, as_torch: bool) -> Any:
        value = loaded[key]
        return value if as_torch or not _is_tensor(value) else value.numpy()

    return tensor


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)
