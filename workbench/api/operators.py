"""Where a compiled model's time goes, operator by operator, beside what the machine can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..pipeline.naming import compiled_of
from ..pipeline.result import Result
from ..render.bubbles import Bubble, bubbles
from ..render.svg import Picture
from ..render.table import Cell, Table
from ..store import Store

if TYPE_CHECKING:
    from ..compile.operator_times import Operator

_SHOWN = 15


def operators(
    artifact: str, *, threads: int = 1, repeats: int = 20, batch: int = 1, store: Store | None = None
) -> Result:
    """Report time, operations, bytes and share of the machine's peak of every operator of a compiled model.

    Parameters
    ----------
    artifact
        A compiled artifact, or a program or variant that was compiled.
    threads
        Threads of the session.
    repeats
        Passes under the backend's own profiler.
    batch
        1 cuts the captured inputs to one item where that can be; 0 takes them as they are.

    Returns
    -------
    Result
        A table, and a roofline where the backend tells shapes; ``.operators`` has every row, ``.mfu`` the share of
        the measured peak of one thread that the whole pass reaches.

    Raises
    ------
    UnknownArtifact
        If the artifact is not there, or was never compiled.
    InputError
        If its backend has no profiler of its own.
    """
    from ..compile.peak import peaks

    store = store or Store()
    digest = compiled_of(store, artifact)
    found = measured(artifact, store, threads=threads, repeats=repeats, batch=batch)
    peak, bandwidth = peaks()
    total = sum(one.seconds for one in found)
    work = sum(one.flops or 0.0 for one in found)
    mfu = work / total / peak if work and total else 0.0
    return Result(
        f"operators of {artifact}",
        (_table(found, total, peak, bandwidth, mfu),),
        digest,
        artifact,
        {"total_ms": total * 1e3, "mfu": mfu, "peak_gflops": peak / 1e9, "bandwidth_gb_s": bandwidth / 1e9},
        {"operators": [_facts(one, peak) for one in found]},
        _roofline(found, peak),
        store,
    )


def measured(
    artifact: str, store: Store, *, threads: int = 1, repeats: int = 20, batch: int = 1
) -> Sequence[Operator]:
    """Return the operators of a compiled artifact, the slowest first; as :func:`operators`."""
    from ..compile.operator_times import operator_times
    from ..pipeline.evaluation import one_item
    from ..program import read_examples, read_signature

    digest = compiled_of(store, artifact)
    folder = store.artifacts.path(digest)
    feeds = read_examples(folder).inputs
    feeds = one_item(read_signature(folder), feeds) if batch else feeds
    return _whole(store, digest, operator_times(folder, feeds, threads, repeats), feeds)


def _whole(
    store: Store, digest: str, found: Sequence[Operator], feeds: Mapping[str, Any]
) -> Sequence[Operator]:
    """Return the rows with the operations and bytes of the program they were compiled from, if it is here."""
    from ..compile.work import with_work, work_of

    if all(one.flops is not None for one in found):
        return found
    for source in store.artifacts.manifest(digest).parents:
        if store.artifacts.exists(source) and store.artifacts.manifest(source).kind in ("program", "variant"):
            return with_work(found, work_of(store.artifacts.path(source), feeds))
    return found


def _table(found: Sequence[Operator], total: float, peak: float, bandwidth: float, mfu: float) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for one in found[:_SHOWN]:
        rate = one.flops / one.seconds if one.flops else None
        rows.append(
            (
                one.name[:48],
                one.kind,
                one.seconds * 1e3,
                f"{one.seconds / total:.1%}",
                None if one.flops is None else one.flops / 1e6,
                None if one.bytes is None else one.bytes / 1e6,
                one.intensity,
                None if rate is None else f"{rate / peak:.1%}",
            )
        )
    left = found[_SHOWN:]
    if left:
        spent = sum(one.seconds for one in left)
        rows.append((f"{len(left)} more", "", spent * 1e3, f"{spent / total:.1%}", None, None, None, None))
    note = (
        f"{total * 1e3:.3g} ms; peak of one thread, measured in float32: {peak / 1e9:.0f} GFLOP/s,"
        f" {bandwidth / 1e9:.1f} GB/s; the whole reaches {mfu:.1%} (integer kernels may exceed it)"
    )
    columns = ("operator", "kind", "ms", "share", "MFLOP", "MB moved", "FLOP/byte", "of peak")
    return Table(columns, rows, note=note)


def _facts(one: Operator, peak: float) -> dict[str, Any]:
    share = one.flops / one.seconds / peak if one.flops and one.seconds else None
    return {**vars(one), "intensity": one.intensity, "of_peak": share}


def _roofline(found: Sequence[Operator], peak: float) -> tuple[Picture, ...]:
    points = [
        Bubble(one.kind, one.intensity, one.flops / one.seconds / 1e9, one.seconds, marked=index == 0)
        for index, one in enumerate(found[:_SHOWN])
        if one.intensity and one.flops and one.seconds
    ]
    if len(points) < 2:
        return ()
    title = f"roofline: peak {peak / 1e9:.0f} GFLOP/s; area: time"
    return (bubbles(points, "FLOP/byte", "GFLOP/s", title),)
