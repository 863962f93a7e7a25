"""Look at what the store holds, and tidy it."""

from __future__ import annotations

from ..errors import CorruptArtifact
from ..pipeline import views
from ..pipeline.result import Result
from ..render.table import Table
from ..store import Store
from .traces import read


def show(artifact: str = "", *, store: Store | None = None) -> Result:
    """Show an artifact's facts, files and figures, every layer of a variant, a profile's report; by default all names.

    Raises
    ------
    UnknownArtifact
        If nothing has this name; suggests near ones.
    """
    store = store or Store()
    if not artifact:
        return Result(f"store {store.home}", (views.names_table(store),), store=store)
    digest = store.names.resolve(artifact)
    manifest = store.artifacts.manifest(digest)
    tables = views.artifact_tables(store, digest)
    if manifest.kind == "trace":
        from ..trace import TraceReport

        report = TraceReport(read(store, digest))
        details = {"report": report, "tier": report.trace.meta.tier}
        return Result(
            artifact, tables[:1], digest, artifact, pictures=(report,), details=details, store=store
        )
    if manifest.kind == "variant":
        from ..quantize.report import layers_of

        tables += layers_of(store.artifacts.path(digest))
    return Result(artifact, tables, digest, artifact, manifest.metrics, store=store)


def gc(*, grace_s: float | None = None, store: Store | None = None) -> Result:
    """Remove artifacts and scratch files that nothing refers to, and routes in the kernel whose replicas are dead.

    Parameters
    ----------
    grace_s
        Unreferenced artifacts younger than this many seconds are spared; by default ten minutes.
    """
    from ..route.kernel.sweep import sweep

    store = store or Store()
    report = store.gc() if grace_s is None else store.gc(grace_s)
    removed = {**vars(report), "routes": sweep()}
    rows = tuple(removed.items())
    return Result("collected", (Table(("what", "removed"), rows),), details=removed, store=store)


def verify(artifact: str = "", *, store: Store | None = None) -> Result:
    """Read every byte of an artifact, or of all of them, and compare with the digests.

    Raises
    ------
    CorruptArtifact
        If one is not whole; without `artifact`, after all were read, naming each.
    """
    store = store or Store()
    digests = [store.names.resolve(artifact)] if artifact else [row.digest for row in store.artifacts.list()]
    broken: list[CorruptArtifact] = []
    for digest in digests:
        try:
            store.artifacts.verify(digest)
        except CorruptArtifact as error:
            broken.append(error)
    if len(broken) == 1:
        raise broken[0]
    if broken:
        raise CorruptArtifact(
            f"{len(broken)} of {len(digests)} artifacts are not whole",
            where=", ".join(error.where for error in broken),
            fix=broken[0].fix,
        )
    return Result(f"{len(digests)} artifact(s) whole", details={"checked": len(digests)}, store=store)
