"""What can be done with a profile once it is an artifact: compare it with another, hand it to other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..atomic import write_bytes
from ..errors import InputError
from ..pipeline.result import Result
from ..store import Store
from .lineages import explain
from .models import export_model
from .tuning import export_records

if TYPE_CHECKING:
    from ..trace import Trace


def diff(before: str, after: str, *, store: Store | None = None) -> Result:
    """Compare two profiles (what got slower or faster), or two models (what changed, and what caused it).

    Parameters
    ----------
    before, after
        Names or digests, both of traces or neither; changes are `after` minus `before`.

    Returns
    -------
    Result
        Of traces: tables and a differential flame graph, ``.report`` is the
        :class:`~workbench.trace.DifferenceReport`. Of anything else: ``.differences``, causes first.

    Raises
    ------
    UnknownArtifact
        If one is not there.
    InputError
        If only one is a trace.
    """
    store = store or Store()
    kinds = {store.artifacts.manifest(store.names.resolve(name)).kind for name in (before, after)}
    if "trace" not in kinds:
        return explain(store, before, after)
    from ..trace import DifferenceReport

    first, second = read(store, before), read(store, after)
    report = DifferenceReport(first, second, (before, after))
    return Result(f"{before} → {after}", pictures=(report,), details={"report": report}, store=store)


def export(
    artifact: str,
    file: str | Path,
    *,
    form: str = "",
    config: str | Path | None = None,
    store: Store | None = None,
) -> Result:
    """Write a profile or a model as a file that other tools read.

    Parameters
    ----------
    artifact
        Name or digest of a trace, of a program or variant, or of tuning records.
    file
        Where to; replaced if it is there. Its end says the format: ``.pb.gz`` (pprof), ``.json`` (Chrome and
        Perfetto), ``.txt`` (collapsed stacks), ``.svg`` (flame graph); of a model ``.onnx``, ``.gguf`` (TQ2_0),
        ``.safetensors`` or a folder (Hugging Face bitnet).
    form
        ``pprof``, ``chrome``, ``collapsed`` or ``svg``, of a model ``onnx``, ``tq2_0``, ``tq1_0`` or ``bitnet``,
        whatever the file's end.
    config
        The ``config.json`` of the captured Hugging Face model, for ``bitnet``.

    Raises
    ------
    UnknownArtifact
        If it is not there.
    InputError
        If it is neither, or the format is not known.
    QuantizeError
        If a layer of the model has no form in the format.
    MissingDependency
        If a package that the format needs is not installed.
    StorageFull
        If the device is full.
    """
    from ..trace.exports import dump, format_of

    store = store or Store()
    path = Path(file).expanduser()
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {str(path.parent)!r}", where=str(path), fix="make it first")
    kind = store.artifacts.manifest(store.names.resolve(artifact)).kind
    if kind == "tuning":
        return export_records(store, artifact, path)
    if kind in ("program", "variant"):
        return export_model(store, artifact, path, form, config)
    form = form or format_of(path)
    data = dump(read(store, artifact), form)
    write_bytes(path, data)
    details = {"file": str(path), "format": form, "bytes": len(data)}
    return Result(f"{artifact} as {form}: {path} ({len(data):,} bytes)", details=details, store=store)


def read(store: Store, artifact: str) -> Trace:
    """Return a stored trace.

    Raises
    ------
    InputError
        If the artifact is something else.
    """
    from ..trace import Trace

    digest = store.names.resolve(artifact)
    kind = store.artifacts.manifest(digest).kind
    if kind != "trace":
        raise InputError(
            f"{artifact} is a {kind}, not a profile", where=artifact, fix=f"%%mlops profile {artifact}"
        )
    return Trace.load(store.artifacts.path(digest))
