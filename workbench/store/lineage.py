"""Where an artifact came from, or what was made from it: itself and all its relatives, as a graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .database import Database

Direction = Literal["upstream", "downstream"]

_RELATED = """
WITH RECURSIVE related (digest) AS (
    SELECT ? UNION SELECT {far} FROM lineage JOIN related ON lineage.{near} = related.digest
)
SELECT {columns} FROM {table} ORDER BY {order}
"""
_ENDS = {"upstream": ("child", "parent"), "downstream": ("parent", "child")}
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
    """Relatives of an artifact.

    Parameters
    ----------
    root
        The artifact asked about.
    nodes
        It and its ancestors (or descendants), oldest first.
    edges
        Pairs (child, parent).
    direction
        ``upstream`` for ancestors, ``downstream`` for descendants.
    """

    root: str
    nodes: tuple[LineageNode, ...]
    edges: tuple[tuple[str, str], ...]
    direction: Direction = "upstream"

    def neighbours(self) -> dict[str, list[str]]:
        """Return, for each artifact, those one step further from the root."""
        found: dict[str, list[str]] = {}
        for child, parent in self.edges:
            near, far = (child, parent) if self.direction == "upstream" else (parent, child)
            found.setdefault(near, []).append(far)
        return found

    def backwards(self) -> list[tuple[str, str, float]]:
        """Return the edges whose child is older than its parent, with the seconds: a clock was wrong.

        A store put on one machine and filled from another sees this when their clocks differ.
        """
        created = {node.digest: node.created_s for node in self.nodes}
        return [
            (child, parent, created[parent] - created[child])
            for child, parent in self.edges
            if created.get(child, 0.0) < created.get(parent, 0.0) and child in created
        ]


def lineage(database: Database, digest: str, direction: Direction = "upstream") -> LineageGraph:
    """Return the ancestor or descendant graph of an artifact."""
    near, far = _ENDS[direction]
    nodes = _RELATED.format(
        near=near,
        far=far,
        columns="artifacts.*",
        table="artifacts JOIN related USING (digest)",
        order="created_s, digest",
    )
    edges = _RELATED.format(
        near=near,
        far=far,
        columns="child, parent",
        table=f"lineage JOIN related ON {near} = digest",
        order="child, parent",
    )
    return LineageGraph(
        digest,
        tuple(LineageNode(*row) for row in database.query(nodes, (digest,))),
        tuple((row[0], row[1]) for row in database.query(edges, (digest,))),
        direction,
    )


def children(database: Database, digest: str, kind: str) -> list[str]:
    """Return the artifacts of a kind made from an artifact, newest first."""
    return [str(row["digest"]) for row in database.query(_CHILDREN, (digest, kind))]
