"""What can be done with a profile once it is an artifact: compare it with another, hand it to other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..atomic import write_bytes
from ..errors import InputError
from ..pipeline.result import Result
from ..store import Store

if TYPE_CHECKING:
    from ..trace import Trace


def diff(before: str, after: str, *, store: Store | None = None) -> Result:
    """Compare two profiles: what got slower or faster, by line, function, operator and system call.

    Parameters
    ----------
    before, after
        Names or digests of traces; changes are `after` minus `before`.

    Returns
    -------
    Result
        Tables and a differential flame graph; ``.report`` is the :class:`~workbench.trace.DifferenceReport`.

    Raises
    ------
    UnknownArtifact
        If one is not there.
    InputError
        If one is not a trace.
    """
    from ..trace import DifferenceReport

    store = store or Store()
    first, second = read(store, before), read(store, after)
    report = DifferenceReport(first, second, (before, after))
    return Result(f"{before} → {after}", pictures=(report,), details={"report": report}, store=store)


def export(artifact: str, file: str | Path, *, form: str = "", store: Store | None = None) -> Result:
    """Write a profile as a file that other tools read.

    Parameters
    ----------
    artifact
        Name or digest of a trace.
    file
        Where to; replaced if it is there. Its end says the format: ``.pb.gz`` (pprof), ``.json`` (Chrome and
        Perfetto), ``.txt`` (collapsed stacks), ``.svg`` (flame graph).
    form
        ``pprof``, ``chrome``, ``collapsed`` or ``svg``, whatever the file's end.

    Raises
    ------
    UnknownArtifact
        If it is not there.
    InputError
        If it is not a trace, or the format is not known.
    StorageFull
        If the device is full.
    """
    from ..trace.exports import dump, format_of

    store = store or Store()
    path = Path(file).expanduser()
    form = form or format_of(path)
    data = dump(read(store, artifact), form)
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {str(path.parent)!r}", where=str(path), fix="make it first")
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
