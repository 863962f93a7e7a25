"""Where an artifact came from: itself and all its ancestors, as a graph."""

from __future__ import annotations

from dataclasses import dataclass

from .database import Database

_ANCESTORS = """
WITH RECURSIVE ancestors (digest) AS (
    SELECT ? UNION SELECT parent FROM lineage JOIN ancestors ON lineage.child = ancestors.digest
)
SELECT {columns} FROM {table} ORDER BY {order}
"""
_NODES = _ANCESTORS.format(
    columns="artifacts.*", table="artifacts JOIN ancestors USING (digest)", order="created_s, digest"
)
_EDGES = _ANCESTORS.format(
    columns="child, parent", table="lineage JOIN ancestors ON child = digest", order="child, parent"
)
_CHILDREN = """
SELECT digest FROM lineage JOIN artifacts ON digest = child
WHERE parent = ? AND kind = ? ORDER BY created_s DESC
"""


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


def children(database: Database, digest: str, kind: str) -> list[str]:
    """Return the artifacts of a kind made from an artifact, newest first."""
    return [str(row["digest"]) for row in database.query(_CHILDREN, (digest, kind))]
