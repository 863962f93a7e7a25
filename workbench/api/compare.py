"""Artifacts side by side: what each scores, how fast it is, how large, and which are worth looking at."""

from __future__ import annotations

from ..errors import InputError
from ..pipeline.figures import figures
from ..pipeline.result import Result
from ..render.table import Cell, Table
from ..store import Store


def compare(
    *artifacts: str,
    layers: bool = False,
    operators: bool = False,
    tolerance: float | None = None,
    store: Store | None = None,
) -> Result:
    """Compare artifacts by score, latency and size, layer by layer, or by operators.

    Parameters
    ----------
    artifacts
        Two or more names.
    layers
        Time, error and size of every layer, and the first layer where a model parts from the first one. All must
        come from one torch program; each is compiled again, with the outputs of its layers as further outputs.
    operators
        What compiled models spend on products, convolutions, attention and so on, and why one takes longer for it than
        the first: its share of the machine's peak, its number of kernels, the way to them.
    tolerance
        By layer: largest difference over the peak of a layer's output that counts as agreeing; by default 0.001,
        and 0.1 where one of two is quantized.

    Returns
    -------
    Result
        A table; ``.compared`` has the figures by name. In a notebook, also score over cost: artifacts that no
        other beats in both are joined. By layer: ``.divergences``, ``.errors``, ``.seconds``, ``.sizes``; by
        operators: ``.groups``, ``.reasons``.

    Raises
    ------
    InputError
        If there are fewer than two, or a `tolerance` without `layers`; by layer also if they share no layers or
        take other inputs, by operators if a backend has no profiler.
    UnknownArtifact
        If nothing has one of the names; suggests near ones.
    """
    store = store or Store()
    if len(artifacts) < 2:
        raise InputError(
            "there is nothing to compare with", where=" ".join(artifacts), fix="name two or more"
        )
    if layers and operators:
        raise InputError(
            "by layer or by operators, not both", where="compare", fix="leave out --layers or --operators"
        )
    if operators:
        from .operator_groups import compare_operators

        return compare_operators(artifacts, store)
    if layers:
        return _by_layer(artifacts, tolerance, store)
    if tolerance is not None:
        raise InputError("a tolerance is for a comparison by layer", where="--tolerance", fix="add --layers")
    rows: list[tuple[Cell, ...]] = []
    compared: list[dict[str, str | float | None]] = []
    for name in artifacts:
        digest = store.names.resolve(name)
        seen = figures(store, digest)
        kind = store.artifacts.manifest(digest).kind
        rows.append((name, kind, seen.score, seen.latency_ms, seen.size_bytes / 1e6))
        compared.append({"name": name, "kind": kind, **vars(seen)})
    note = "latency of one item as the variant was judged; – where nobody measured; --layers, --operators: in detail"
    table = Table(("artifact", "kind", "score", "latency ms", "MB"), rows, note=note)
    return Result(f"{len(artifacts)} artifacts", (table,), details={"compared": compared}, store=store)


def _by_layer(artifacts: tuple[str, ...], tolerance: float | None, store: Store) -> Result:
    from ..pipeline.layerwise.comparison import compare_layers
    from ..pipeline.layerwise.model import model_of
    from ..pipeline.layerwise.report import divergence_table, facts, layers_table, pictures

    if len(set(artifacts)) < len(artifacts):
        raise InputError("an artifact is named twice", where=" ".join(artifacts), fix="name each once")
    found = compare_layers([model_of(store, name) for name in artifacts], tolerance)
    return Result(
        f"{len(artifacts)} models, {len(found.layers)} layers",
        (divergence_table(found), layers_table(found)),
        details=facts(found),
        pictures=pictures(found),
        store=store,
    )
