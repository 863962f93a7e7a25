"""Tuning records: made before a compile, given to one, written to a file and read from one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..atomic import write_bytes
from ..errors import InputError
from ..pipeline.naming import compiled_name
from ..pipeline.result import Result
from ..pipeline.run import Run
from ..render.lines import Axes, lines
from ..store import ArtifactDraft, Store

if TYPE_CHECKING:
    from ..compile import CompileConfig


def steps(store: Store, artifact: str, config: CompileConfig, name: str, seconds: float, records: str) -> Any:
    """Return the steps that compile with tuning: look for schedules if there is a budget, then compile with them.

    Raises
    ------
    InputError
        If the backend has nothing to tune, or the target is another machine.
    CompileError
        If the records were measured on another processor.
    CorruptArtifact
        If a file is not one of records.
    """
    from ..pipeline.steps.compile import CompileStep
    from ..pipeline.steps.tune import TuneStep

    program = store.names.resolve(artifact)
    if not seconds and not records:
        return (CompileStep(program=program, config=config, name=name),)
    _check(config, seconds)
    known = stored(store, records, config) if records else ""
    if not seconds:
        return (CompileStep(program=program, config=config, records=known, name=name),)
    from ..pipeline.auto.processor import processor

    called = compiled_name(store, artifact, "tuning")
    tune = TuneStep(program, config, float(seconds), known, processor(), called)
    return tune, CompileStep(program=program, config=config, records="step:0", name=name)


def _check(config: CompileConfig, seconds: float) -> None:
    if config.backend != "tvm":
        raise InputError(
            f"the backend {config.backend!r} has nothing to tune", where="--tune", fix="--backend tvm"
        )
    if seconds and config.target not in ("", "host"):
        raise InputError(
            f"schedules are found by running them, and {config.target} is not this machine",
            where="--tune",
            fix="leave out --target, or tune on such a machine and give its records with --records",
        )


def stored(store: Store, records: str, config: CompileConfig) -> str:
    """Return the digest of records that serve here: an artifact's, or of a file that is put into the store."""
    from ..compile.relax.records import check, read_facts, split
    from ..compile.relax.targets import resolve
    from ..store.blobs import remove_tree

    path = Path(records).expanduser()
    if path.is_file():
        folder = store.scratch()
        try:
            split(path, folder)
            check(read_facts(folder), resolve(config.target), str(path))
            return store.artifacts.put(ArtifactDraft("tuning", folder))
        finally:
            remove_tree(folder)
    digest = store.names.resolve(records)
    kind = store.artifacts.manifest(digest).kind
    if kind != "tuning":
        raise InputError(f"{records} is a {kind}, not tuning records", where=records, fix="NAME/tuning")
    store.artifacts.verify(digest)
    check(read_facts(store.artifacts.path(digest)), resolve(config.target), records)
    return digest


def drawn(made: Result | Run) -> Result | Run:
    """Return a result with the curve of its tuning, if there was any."""
    curve = [] if isinstance(made, Run) else made.details.get("tuning", {}).get("curve", [])
    if isinstance(made, Run) or len(curve) < 2:
        return made
    from ..pipeline.steps.tune import AXES

    picture = lines({AXES[1]: [(x, y) for x, y in curve]}, Axes(*AXES), "tuning")
    return dataclasses.replace(made, pictures=(*made.pictures, picture))


def export_records(store: Store, artifact: str, path: Path) -> Result:
    """Write tuning records as one file; ``compile --records FILE`` takes it on a processor of the same kind."""
    from ..compile.relax.records import join

    digest = store.names.resolve(artifact)
    data = join(store.artifacts.path(digest))
    write_bytes(path, data)
    details = {"file": str(path), "format": "tuning", "bytes": len(data)}
    return Result(f"{artifact}: {path} ({len(data):,} bytes)", details=details, store=store)
