"""Where an artifact came from: itself and all its ancestors, as a graph."""

from __future__ import annotations

from dataclasses import dataclass

from .database import Database

_ANCESTORS = """
WITH RECURSIVE ancestors (digest) AS (
    SELECT ? UNION SELECT parent FROM lineage JOIN ancestors ON lineage.child = ancestors.digest
)
"""
_NODES = (
    _ANCESTORS + "SELECT a.* FROM artifacts AS a JOIN ancestors USING (digest) ORDER BY created_s, digest"
)
_EDGES = _ANCESTORS + "SELECT lineage.* FROM lineage JOIN ancestors ON child = digest ORDER BY child, parent"


@dataclass(frozen=True)
class LineageNode:
    """One artifact of the graph: digest, kind, size, when it was put (Unix seconds)."""

    digest: str
    kind: str
    size_bytes: int
    created_s: float


@dataclass(frozen=True)
class LineageGraph:
    """Ancestors of an artifact.

    Parameters
    ----------
    root
        The artifact asked about.
    nodes
        It and its ancestors, oldest first.
    edges
        Pairs (child, parent).
    """

    root: str
    nodes: tuple[LineageNode, ...]
    edges: tuple[tuple[str, str], ...]


def lineage(database: Database, digest: str) -> LineageGraph:
    """Return the ancestor graph of an artifact."""
    nodes, edges = database.query(_NODES, (digest,)), database.query(_EDGES, (digest,))
    return LineageGraph(
        digest,
        tuple(LineageNode(r["digest"], r["kind"], r["size_bytes"], r["created_s"]) for r in nodes),
        tuple((r["child"], r["parent"]) for r in edges),
    )
