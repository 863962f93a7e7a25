"""A comparison by layer as tables and pictures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ...render.lines import Axes, lines
from ...render.table import Cell, Table
from .times import REST

if TYPE_CHECKING:
    from ...render.svg import Picture
    from .comparison import LayerComparison

_SHOWN = 60


def divergence_table(found: LayerComparison) -> Table:
    """Return where each model parts from the first."""
    rows: list[tuple[Cell, ...]] = [
        (one.model, one.layer or "nowhere", one.error, one.before, one.tolerance) for one in found.divergences
    ]
    columns = ("", "first parts at", "error there", "a layer before", "allowed")
    note = (
        f"against {found.models[0]}; error: largest difference of a layer's output over its peak, on the captured"
        " inputs; nowhere: the error of the worst layer"
    )
    return Table(columns, rows, note=note)


def layers_table(found: LayerComparison) -> Table:
    """Return time, error and size of every layer, model by model."""
    letters = {name: chr(ord("A") + number) for number, name in enumerate(found.models)}
    parts = {one.model: one.layer for one in found.divergences}
    columns = ["layer"]
    for name, letter in letters.items():
        columns += [f"{letter} ms", f"{letter} kB"]
        columns += [f"{letter} error"] if name in found.errors else []
    rows: list[tuple[Cell, ...]] = []
    for path in [*found.layers[:_SHOWN], *_others(found)]:
        cells: list[Cell] = [path]
        for name in found.models:
            spent = (found.seconds[name] or {}).get(path)
            held = found.sizes[name].get(path)
            cells += [None if spent is None else spent * 1e3, None if held is None else held / 1e3]
            if name in found.errors:
                cells.append(_error(found, name, path, here=parts[name] == path))
        rows.append(tuple(cells))
    rows.append(_sum(found))
    hidden = len(found.layers) - _SHOWN
    note = "; ".join(
        [f"{letter}: {name}" for name, letter in letters.items()]
        + ["ms: one item, the backend's own profiler (in torch eager every operator with its dispatch)"]
        + ["time of operators that a backend fuses counts where their result is named; –: not told"]
        + [f"{hidden} more layers"] * (hidden > 0)
    )
    return Table(tuple(columns), rows, note=note)


def _others(found: LayerComparison) -> list[str]:
    """Return what takes time or space and is no common layer: conversions, modules that one model lacks."""
    names = [
        path
        for name in found.models
        for path in [*(found.seconds[name] or {}), *found.sizes[name]]
        if path not in found.layers and path != REST
    ]
    told = any(REST in (seconds or {}) for seconds in found.seconds.values())
    return [*dict.fromkeys(names), *[REST] * told]


def _error(found: LayerComparison, name: str, path: str, *, here: bool) -> Cell:
    error = found.errors[name].get(path)
    return None if error is None else f"{error:.2g}{' <- parts' if here else ''}"


def _sum(found: LayerComparison) -> tuple[Cell, ...]:
    cells: list[Cell] = ["all"]
    for name in found.models:
        seconds = found.seconds[name]
        cells += [None if seconds is None else sum(seconds.values()) * 1e3]
        cells += [sum(found.sizes[name].values()) / 1e3]
        cells += [None] * (name in found.errors)
    return tuple(cells)


def pictures(found: LayerComparison) -> tuple[Picture, ...]:
    """Return error and time over the layers, a curve for each model."""
    errors = {
        name: [(float(n), error) for n, error in enumerate(values.values(), 1) if math.isfinite(error)]
        for name, values in found.errors.items()
    }
    seconds = {
        name: [(float(n), 1e3 * spent.get(path, 0.0)) for n, path in enumerate(found.layers, 1)]
        for name, spent in found.seconds.items()
        if spent is not None
    }
    made = [lines(errors, Axes("layer", "error", log_y=True), f"error against {found.models[0]}")]
    if seconds:
        made.append(lines(seconds, Axes("layer", "ms"), "time by layer"))
    return tuple(made)


def facts(found: LayerComparison) -> dict[str, Any]:
    """Return the comparison as JSON-able facts."""
    return {
        "layers": list(found.layers),
        "errors": found.errors,
        "seconds": found.seconds,
        "sizes": found.sizes,
        "divergences": [vars(one) for one in found.divergences],
    }
