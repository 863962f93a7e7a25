"""Artifacts side by side: what each scores, how fast it is, how large, and which are worth looking at."""

from __future__ import annotations

from ..errors import InputError
from ..pipeline.figures import figures
from ..pipeline.result import Result
from ..render.table import Cell, Table
from ..store import Store


def compare(*artifacts: str, store: Store | None = None) -> Result:
    """Compare artifacts by score, latency and size.

    Parameters
    ----------
    artifacts
        Two or more names.

    Returns
    -------
    Result
        A table; ``.compared`` has the figures by name. In a notebook, also score over cost: artifacts that no
        other beats in both are joined.

    Raises
    ------
    InputError
        If there are fewer than two.
    UnknownArtifact
        If nothing has one of the names; suggests near ones.
    """
    store = store or Store()
    if len(artifacts) < 2:
        raise InputError(
            "there is nothing to compare with", where=" ".join(artifacts), fix="name two or more"
        )
    rows: list[tuple[Cell, ...]] = []
    compared: list[dict[str, str | float | None]] = []
    for name in artifacts:
        digest = store.names.resolve(name)
        seen = figures(store, digest)
        kind = store.artifacts.manifest(digest).kind
        rows.append((name, kind, seen.score, seen.latency_ms, seen.size_bytes / 1e6))
        compared.append({"name": name, "kind": kind, **vars(seen)})
    note = "latency of one item as the variant was judged; – where nobody measured"
    table = Table(("artifact", "kind", "score", "latency ms", "MB"), rows, note=note)
    return Result(f"{len(artifacts)} artifacts", (table,), details={"compared": compared}, store=store)
