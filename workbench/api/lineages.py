"""Where artifacts come from and lead to: lineage, reproduce, and what differs between two of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..atomic import write_bytes
from ..errors import InputError, WorkbenchError
from ..pipeline import views
from ..pipeline.result import Result
from ..render.table import Table
from ..store import Store

if TYPE_CHECKING:
    from ..package.isolation import Isolation
    from ..pipeline.driving import Listener
    from ..pipeline.reproduce import Rebuilt

_DRAWN = 60
"""A picture of more artifacts than this says nothing."""


def lineage(
    artifact: str,
    *,
    downstream: bool = False,
    statement: str | Path = "",
    sign: str | Path = "",
    code: str | Path = "",
    store: Store | None = None,
) -> Result:
    """Show what an artifact was made from, by which steps, who, where and when, and what was made from it.

    Parameters
    ----------
    artifact
        Any name or digest.
    downstream
        Show only what was made from it, and what each is called.
    statement
        Also write an in-toto statement with an SLSA provenance predicate to this file.
    sign
        Secret key: the statement goes into a signed DSSE envelope.
    code
        Also write the files of the working tree it was made from, uncommitted changes included, into this new
        folder.

    Returns
    -------
    Result
        ``.answers`` by question, ``.nodes`` and ``.edges`` (child, parent) of the graph.

    Raises
    ------
    UnknownArtifact
        If nothing has this name; suggests near ones.
    InputError
        If the code was not recorded, or a file cannot be written where it was asked for.
    """
    from ..pipeline.answers import answer_table, answers

    store = store or Store()
    digest = store.names.resolve(artifact)
    graph = store.lineage(digest, "downstream" if downstream else "upstream")
    found = answers(store, digest)
    details: dict[str, Any] = {"answers": {one.question: one.value for one in found}}
    if len(graph.nodes) <= _DRAWN:
        details["nodes"] = [node.digest for node in graph.nodes]
        details["edges"] = [list(edge) for edge in graph.edges]
    if statement:
        details["statement"] = _write_statement(store, digest, artifact, Path(statement), sign)
    if code:
        details["files"] = _write_code(store, digest, Path(code).expanduser())
    tree = views.lineage_table(store, digest, graph.direction)
    title = f"made from {artifact}" if downstream else f"lineage of {artifact}"
    tables = (tree,) if downstream else (answer_table(found), tree, *_descendants(store, digest))
    return Result(title, tables, digest, artifact, details=details, store=store)


def _descendants(store: Store, digest: str) -> tuple[Table, ...]:
    """Return what was made from an artifact as a table, none where that is nothing."""
    below = views.lineage_table(store, digest, "downstream")
    if len(below.rows) < 2:
        return ()
    return (replace(below, columns=("made from it", *below.columns[1:])),)


def reproduce(
    artifact: str,
    *,
    deep: bool = False,
    isolate: Isolation | None = None,
    store: Store | None = None,
    on_event: Listener | None = None,
) -> Result:
    """Make an artifact again from its recorded inputs, past the cache, and compare digests.

    Parameters
    ----------
    artifact
        Any name or digest that a step made.
    deep
        Also make every ancestor again, each from its own recorded inputs.
    isolate
        Do it in a sandbox with these limits, in the environment that the artifact names: where that is not this one,
        it is built as a virtual environment first, once.

    Returns
    -------
    Result
        ``.verdict`` is ``identical``, ``same files``, ``different`` or ``given``; the tables say what differs.

    Raises
    ------
    UnknownArtifact
        If nothing has this name.
    RunError, MissingInput
        If it cannot be made again: it came from outside, or from what only a notebook had.
    """
    from ..pipeline import reproduce as again

    store = store or Store()
    digest = store.names.resolve(artifact)
    title = f"reproduce {artifact}"
    wanted = again.ancestors(store, digest) if deep else [digest]
    found: list[Rebuilt] = []
    for one in wanted:
        try:
            found.append(again.reproduce(store, one, title=title, on_event=on_event, isolation=isolate))
        except WorkbenchError as error:
            if one == digest:
                raise
            found.append(again.Rebuilt(one, "", "given", reason=error.what))
    tables = [_verdicts(store, found)]
    tables += [
        difference_table(list(one.differences), f"what differs in {views.label(store, one.digest)}")
        for one in found
        if one.differences
    ]
    last = found[-1]
    details = {"verdict": last.verdict, "again": last.again, "rebuilt": [vars(one) for one in found]}
    return Result(f"{title}: {last.verdict}", tuple(tables), digest, artifact, details=details, store=store)


def explain(store: Store, before: str, after: str) -> Result:
    """Compare two artifacts that are no profiles; see :func:`workbench.api.diff`."""
    from ..pipeline.differences import differences

    found = differences(store, store.names.resolve(before), store.names.resolve(after))
    details = {"differences": [vars(one) for one in found]}
    if not found:
        return Result(f"{before} and {after} are the same artifact", details=details, store=store)
    table = difference_table(found, "what differs, causes first")
    return Result(f"{before} → {after}", (table,), details=details, store=store)


def difference_table(found: list[Any], title: str) -> Table:
    """Return differences as a table."""
    rows = [(one.of, one.aspect, one.what, one.before, one.after) for one in found]
    return Table(("artifact", "aspect", "what", "before", "after"), rows, title)


def _verdicts(store: Store, found: list[Rebuilt]) -> Table:
    rows = [
        (views.label(store, one.digest), one.verdict, round(one.seconds, 2), one.again[:19], one.reason)
        for one in found
    ]
    return Table(("artifact", "verdict", "seconds", "made again", "why not"), rows)


def _write_statement(store: Store, digest: str, name: str, path: Path, sign: str | Path) -> dict[str, Any]:
    from ..pipeline.statement import provenance

    path = path.expanduser()
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {str(path.parent)!r}", where=str(path), fix="make it first")
    document = provenance(store, digest, name)
    if sign:
        from ..package.keys import read_signing
        from ..package.signature import seal

        write_bytes(path, seal(document, read_signing(Path(sign).expanduser())))
    else:
        write_bytes(path, json.dumps(document, indent=2, sort_keys=True).encode())
    return document


def _write_code(store: Store, digest: str, out: Path) -> int:
    from ..pipeline.provenance import OBJECTS
    from ..pipeline.working_tree import write_tree

    made = store.origins.of(digest)
    return write_tree(dict(made[-1].sources) if made else {}, store.home / OBJECTS, out)
