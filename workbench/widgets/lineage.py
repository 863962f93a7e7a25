"""What an artifact was made from, as a graph one can move, zoom, fold and ask about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..render.svg import Node, graph
from .live import LiveView

if TYPE_CHECKING:
    from ..pipeline.result import Result
    from ..store import Store


def lineage_view(result: Result) -> LiveView:
    """Return the answer of :func:`workbench.api.lineage` as a view; without a script it is a drawing.

    Parameters
    ----------
    result
        With ``nodes`` (digests) and ``edges`` (pairs child, parent) among its details, and its store.
    """
    store, digests = result.store, result.details["nodes"]
    nodes = [_node(store, digest, digest == result.digest) for digest in digests]
    edges = [[parent, child] for child, parent in result.details["edges"]]
    boxes = {node["id"]: Node((node["label"],), node["marked"]) for node in nodes}
    picture = graph(boxes, [(parent, child) for parent, child in edges], result.title)
    return LiveView("lineage", {"title": result.title, "nodes": nodes, "edges": edges}, picture)


def _node(store: Store | None, digest: str, marked: bool) -> dict[str, Any]:
    """Return one box: what it is called, a line below that, and facts for whoever asks."""
    node: dict[str, Any] = {"id": digest, "label": digest[:19], "line": "", "marked": marked, "facts": []}
    if store is None or not store.artifacts.exists(digest):
        return node | {"line": "removed", "facts": [["digest", digest]]}
    from ..pipeline.views import label

    manifest = store.artifacts.manifest(digest)
    verb = str(manifest.step.get("type", "")).removesuffix("_step")
    size = f"{sum(file.size_bytes for file in manifest.files) / 1e6:.4g} MB"
    facts = [["digest", digest], ["kind", manifest.kind], ["made by", verb or "unknown"], ["size", size]]
    facts.append(["names", ", ".join(store.names.of(digest)) or "none"])
    facts += [[key, f"{value:.4g}"] for key, value in sorted(manifest.metrics.items())]
    measured = store.measurements.of(digest)
    facts += [[one.key, f"{one.value:.4g} {one.unit} {one.baseline}".rstrip()] for one in measured]
    line = " · ".join(part for part in (manifest.kind, verb, size) if part)
    return node | {"label": label(store, digest), "line": line, "facts": facts}
