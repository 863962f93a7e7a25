"""What the store knows, as tables: one artifact, its lineage, runs, names."""

from __future__ import annotations

import time
from datetime import datetime

from ..render.table import Cell, Table
from ..session import describe
from ..store import Direction, LineageNode, RunRow, Store

_SHORT = len("sha256:") + 12
_LONGEST_TREE = 60


def artifact_tables(store: Store, digest: str) -> tuple[Table, ...]:
    """Return what an artifact is: facts, files, figures."""
    manifest = store.artifacts.manifest(digest)
    facts: list[tuple[Cell, ...]] = [
        ("digest", digest),
        ("names", ", ".join(store.names.of(digest)) or "none"),
        ("kind", manifest.kind),
        ("made by", manifest.step.get("type", "").removesuffix("_step") or "unknown"),
        ("from", ", ".join(label(store, parent) for parent in manifest.parents) or "nothing in the store"),
        ("code", manifest.code or "unknown"),
        ("environment", manifest.environment[:_SHORT] or "unknown"),
    ]
    if manifest.signature is not None:
        facts.append(("inputs", describe(manifest.signature)))
        facts.append(("preprocessing", manifest.signature.preprocessing.partition("\n")[0] or "none"))
    facts += [(f"{role} data", value[:_SHORT]) for role, value in sorted(manifest.data.items())]
    files = Table(
        ("file", "bytes", "digest"), [(f.path, f.size_bytes, f.digest[:_SHORT]) for f in manifest.files]
    )
    return (Table((manifest.kind, ""), facts), files, *_figures(store, digest))


def _figures(store: Store, digest: str) -> list[Table]:
    metrics = store.artifacts.manifest(digest).metrics
    rows: list[tuple[Cell, ...]] = [(key, value, "", "") for key, value in sorted(metrics.items())]
    rows += [(m.key, m.value, m.unit, m.baseline) for m in store.measurements.of(digest)]
    return [Table(("figure", "value", "unit", "against"), rows)] if rows else []


def lineage_table(store: Store, digest: str, direction: Direction = "upstream") -> Table:
    """Return the ancestors (or descendants) of an artifact as a tree, the artifact itself on top.

    An artifact that several ways lead to is opened once; of a long history the first lines are shown.
    """
    graph = store.lineage(digest, direction)
    nodes, further = {node.digest: node for node in graph.nodes}, graph.neighbours()
    rows: list[tuple[Cell, ...]] = []
    waiting, opened = [(digest, 0)], set[str]()
    while waiting and len(rows) < _LONGEST_TREE:
        current, depth = waiting.pop()
        again = current in opened and bool(further.get(current))
        text = "  " * depth + label(store, current) + (" (see above)" if again else "")
        rows.append((text, *_node(store, nodes.get(current)), current[:_SHORT]))
        if not again:
            waiting += [(other, depth + 1) for other in reversed(further.get(current, []))]
        opened.add(current)
    notes = [f"{len(nodes) - len(opened)} more not shown"] if waiting else []
    notes += [
        f"{label(store, child)} is {seconds:.1f} s older than {label(store, parent)} it was made from: "
        "that was made again since, or a clock was wrong"
        for child, parent, seconds in graph.backwards()[:5]
    ]
    columns = ("artifact", "kind", "made by", "MB", "when", "digest")
    return Table(columns, rows, note="; ".join(notes))


def _node(store: Store, node: LineageNode | None) -> tuple[Cell, ...]:
    if node is None:
        return "removed", None, None, None
    verb = store.artifacts.manifest(node.digest).step.get("type", "").removesuffix("_step")
    return node.kind, verb or None, node.size_bytes / 1e6, moment(node.created_s)


def names_table(store: Store) -> Table:
    """Return every name and what it points at."""
    artifacts = {row.digest: row for row in store.artifacts.list()}
    rows = [
        (name.name, row.kind, row.size_bytes / 1e6, moment(name.updated_s), row.digest[:_SHORT])
        for name in store.names.list()
        if (row := artifacts.get(name.digest)) is not None
    ]
    return Table(("name", "kind", "MB", "when", "digest"), rows)


def runs_table(rows: list[RunRow]) -> Table:
    """Return runs, newest first."""
    return Table(
        ("run", "what", "state", "steps", "cached", "seconds", "when"),
        [
            (
                row.id,
                row.title,
                row.state,
                f"{row.steps_done}/{row.steps_total}",
                row.steps_cached,
                _seconds(row),
                moment(row.created_s),
            )
            for row in rows
        ],
    )


def label(store: Store, digest: str) -> str:
    """Return an artifact's shortest name, else the start of its digest."""
    names = store.names.of(digest)
    return names[0] if names else digest[:_SHORT]


def _seconds(row: RunRow) -> float | None:
    if row.state == "interrupted":
        return None
    return round((row.finished_s or time.time()) - row.created_s, 2)


def moment(time_s: float) -> str:
    """Return Unix seconds as local date and time."""
    return datetime.fromtimestamp(time_s).astimezone().strftime("%Y-%m-%d %H:%M:%S")
