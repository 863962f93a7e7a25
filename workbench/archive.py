"""A ``torch.export`` archive with equal bytes for equal programs, and a reader that unpickles nothing.

What torch 2.13 writes differs between two equal programs: the archive's file name is the first folder of
every record, ``.data/serialization_id`` hashes it, and the JSON holds stack traces with absolute paths. It
also holds a pickle of the example inputs. :func:`save` rewrites the archive: fixed root, fixed dates, records
sorted and stored uncompressed at 64-byte boundaries (so that weights can be mapped), no traces, no example
inputs. ``torch.export.load`` still reads it.

What torch 2.13 *reads* is not safe: records flagged ``use_pickle`` are loaded with ``weights_only=False``,
example inputs fall back to it, ``data/aotinductor`` records are native code. :func:`load` first checks that
the archive holds nothing but raw tensors and a program text that :mod:`workbench.vetting` lets through.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import tempfile
import types
import typing
import unittest.mock
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .atomic import disk_guard
from .errors import CorruptArtifact
from .operators import load_operators
from .vetting import refused, vet

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_ROOT = "program"
_PROGRAM = "models/model.json"
_SAMPLES = "data/sample_inputs/model.pt"
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_PLAIN = {"archive_format", "archive_version", "byteorder", ".data/version", _PROGRAM, _SAMPLES, *_CONFIGS}
_TENSOR = re.compile(r"data/(weights/weight|constants/tensor)_\d+")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_ALIGNMENT = 64


def save(program: ExportedProgram, path: Path) -> None:
    """Write a program; two equal programs give two equal files.

    Raises
    ------
    CorruptArtifact
        If the program holds something :func:`load` would refuse (a pickled constant, a foreign operator).
    StorageFull
        If the device is full.
    """
    import torch

    with disk_guard(path), tempfile.TemporaryDirectory(dir=path.parent, prefix=".pt2.") as scratch:
        raw = Path(scratch) / "raw.pt2"
        with warnings.catch_warnings(), raw.open("wb", buffering=0) as file:
            warnings.simplefilter("ignore")
            sink = _Sink(file)
            torch.export.save(program, typing.cast("IO[bytes]", sink))
            if sink.fault:
                raise sink.fault
        canonical = Path(scratch) / path.name
        _rewrite(raw, canonical)
        _check(canonical)
        canonical.replace(path)


class _Sink(io.RawIOBase):
    """A file that keeps its fault: torch's writer throws in its destructor if a write fails, and the process aborts."""

    def __init__(self, file: io.FileIO) -> None:
        self.file = file
        self.fault: OSError | None = None

    def writable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0  # what torch does at the end, for who reads on from there

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        while len(rest) and not self.fault:
            try:
                rest = rest[self.file.write(rest) :]
            except OSError as error:
                self.fault = error
        return size


def load(path: Path) -> ExportedProgram:
    """Read a program after checking that its file can run no code.

    Raises
    ------
    CorruptArtifact
        If the file is missing, damaged, or holds more than tensors and tensor operators.
    """
    load_operators(_check(path))
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _check_sums(path)  # torch does not: a flipped bit in a weight would pass unseen
            with _remembered_annotations():
                return torch.export.load(path)
        except Exception as error:
            raise _damaged(path, str(error)) from error


@contextlib.contextmanager
def _remembered_annotations() -> Iterator[None]:
    """Let torch's reader resolve the annotations of a class once, not once a record: a third of its time."""
    from torch._export.serde import serialize

    resolver = types.SimpleNamespace(**vars(typing))
    known: dict[type, dict[str, Any]] = {}

    def get_type_hints(cls: type, **names: Any) -> dict[str, Any]:
        if cls not in known:
            known[cls] = typing.get_type_hints(cls, **names)
        return known[cls]

    resolver.get_type_hints = get_type_hints
    with unittest.mock.patch.object(serialize, "typing", resolver):
        yield


def namespaces(path: Path) -> set[str]:
    """Return the operator namespaces a saved program uses, without torch."""
    return _check(path)


def _rewrite(raw: Path, canonical: Path) -> None:
    with zipfile.ZipFile(raw) as source, zipfile.ZipFile(canonical, "w", zipfile.ZIP_STORED) as target:
        records = {n.partition("/")[2]: n for n in source.namelist()}
        for name in sorted(set(records) - {".data/serialization_id"}):
            info = zipfile.ZipInfo(f"{_ROOT}/{name}", _EPOCH)
            info.file_size = source.getinfo(records[name]).file_size
            info.extra = _padding(target, info)
            with target.open(info, "w") as out:
                if name == _PROGRAM:
                    out.write(_without_traces(source.read(records[name])))
                elif name != _SAMPLES:
                    _copy(source, records[name], out)


def _copy(source: zipfile.ZipFile, name: str, out: IO[bytes]) -> None:
    with source.open(name) as record:
        while chunk := record.read(1 << 22):
            out.write(chunk)


def _padding(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Return an extra field that makes the record's data start at an aligned offset."""
    head = 30 + len(info.filename.encode()) + 4  # local header, name, the field's own header
    gap = -(archive.start_dir + head) % _ALIGNMENT
    return b"FB" + gap.to_bytes(2, "little") + b"Z" * gap


def _without_traces(text: bytes) -> bytes:
    """Keep of each node's metadata only which module it came from; guards are the signature's business."""
    program = json.loads(text)
    program["guards_code"] = []
    _strip(program)
    return json.dumps(program, separators=(",", ":")).encode()


def _strip(data: Any) -> None:
    if isinstance(data, list):
        for value in data:
            _strip(value)
    elif isinstance(data, dict):
        if "target" in data and "metadata" in data:
            kept = data["metadata"].get("nn_module_stack")
            data["metadata"] = {"nn_module_stack": kept} if kept else {}
        for value in data.values():
            _strip(value)


def _check(path: Path) -> set[str]:
    """Raise unless the archive is whole and harmless; return its operator namespaces."""
    try:
        with zipfile.ZipFile(path) as archive:
            records = {n.partition("/")[2]: n for n in archive.namelist()}
            strange = sorted(n for n in records if n not in _PLAIN and not _TENSOR.fullmatch(n))
            if strange:
                raise refused(f"the record {strange[0]!r}", str(path))
            return _check_records(archive, records, path)
    except FileNotFoundError:
        raise _damaged(path, "the file is missing") from None
    except (zipfile.BadZipFile, OSError, KeyError, IndexError, TypeError, ValueError) as error:
        raise _damaged(path, str(error)) from error


def _check_sums(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        if name := archive.testzip():
            raise ValueError(f"the record {name} does not match its checksum")


def _check_records(archive: zipfile.ZipFile, records: dict[str, str], path: Path) -> set[str]:
    if len(records) != len(archive.namelist()) or archive.read(records[_SAMPLES]):
        raise refused("pickled example inputs or a record that comes twice", str(path))
    for config in _CONFIGS:
        for name, payload in json.loads(archive.read(records[config]))["config"].items():
            record = f"{config.rpartition('/')[0]}/{payload['path_name']}"
            if payload["use_pickle"] or not _TENSOR.fullmatch(record):
                raise refused(f"the pickled tensor {name!r}", str(path))
    return vet(json.loads(archive.read(records[_PROGRAM])), str(path))


def _damaged(path: Path, why: str) -> CorruptArtifact:
    return CorruptArtifact(
        f"the captured program cannot be read: {why}", where=str(path), fix="capture the model again"
    )
