"""A model as a file that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..pipeline.result import Result
from ..render.table import Table

if TYPE_CHECKING:
    from ..store import Store

FORMATS = ("bitnet", "tq2_0", "tq1_0", "onnx")
_BY_END = {".gguf": "tq2_0", ".onnx": "onnx", ".safetensors": "bitnet", "": "bitnet"}


def export_model(store: Store, artifact: str, path: Path, form: str, config: str | Path | None) -> Result:
    """Write a program or variant as other programs read it; see :func:`workbench.api.export`.

    Raises
    ------
    InputError
        If neither the format nor the file's end says what to write, or the variant has nothing ternary.
    """
    form = form or _BY_END.get(path.suffix, "")
    if form not in FORMATS:
        raise InputError(
            f"{path.name} does not say what to write", where=str(path), fix=f"--format {', '.join(FORMATS)}"
        )
    digest = store.names.resolve(artifact)
    folder = store.artifacts.path(digest)
    if form == "onnx":
        from ..compile.onnx_export import export_onnx

        size = export_onnx(folder, path)
        return _result(artifact, form, path, {}, size)
    from ..quantize.exports.weights import read_weights

    weights = read_weights(folder)
    if not weights.ternary:
        raise InputError(
            f"{artifact} has no ternary layer",
            where=artifact,
            fix=f"%mlops quantize {artifact} --scheme ternary",
        )
    if form == "bitnet":
        from ..quantize.exports.bitnet import MODEL_FILE, write_bitnet

        path = path.parent if path.suffix else path
        types = write_bitnet(weights, path, None if config is None else Path(config).expanduser())
        return _result(artifact, form, path, types, (path / MODEL_FILE).stat().st_size)
    from ..quantize.exports.gguf import write_gguf

    types = write_gguf(weights, path, "tq1_0" if form == "tq1_0" else "tq2_0")
    return _result(artifact, form, path, types, path.stat().st_size)


def _result(artifact: str, form: str, path: Path, types: dict[str, str], size: int) -> Result:
    details = {"file": str(path), "format": form, "bytes": size, "tensors": types}
    tables = (Table(("type", "tensors", "which"), _by_type(types)),) if types else ()
    return Result(f"{artifact} as {form}: {path} ({size:,} bytes)", tables, details=details)


def _by_type(types: dict[str, str], most: int = 3) -> tuple[tuple[str, int, str], ...]:
    """Return how many tensors have each type, and the first of them by name."""
    names: dict[str, list[str]] = {}
    for name, kind in types.items():
        names.setdefault(kind, []).append(name)
    return tuple(
        (kind, len(found), ", ".join(found[:most]) + (", …" if len(found) > most else ""))
        for kind, found in names.items()
    )
