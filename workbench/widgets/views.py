"""Pictures beside what the api answers: the traffic of a deployment, a lineage graph, the worst layers.

The text of a :class:`~workbench.pipeline.result.Result` says everything; a notebook that shows HTML gets a
picture too, drawn from the same data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..render.lines import Axes, lines
from ..render.svg import Bar, Node, Picture, bars, graph
from ..render.table import Table
from .live import MIME
from .pareto import pareto as pareto_view

if TYPE_CHECKING:
    from ..pipeline.result import Result
    from ..staging import DeploymentStatus

WORST = 8
"""Layers to draw: the table lists more."""

_CURVES = (("held-out loss", 1), ("score", 2))
_CLEAN_DB = 60.0  # a signal this far above its quantization noise fills the bar


def mimebundle(result: Result) -> dict[str, Any]:
    """Return a result as text, as HTML with its pictures, and a profile as a live view too."""
    drawn = "".join(f"<div>{picture.html()}</div>" for picture in pictures(result))
    bundle: dict[str, Any] = {"text/plain": result.text(), "text/html": result.html() + drawn}
    if "report" in result.details:
        from .profile import live_data

        bundle |= live_data(result.details["report"], result.title)
    view = pareto_view(result.details["compared"]) if "compared" in result.details else None
    if view is not None:
        table = {"html": result.html()}
        bundle["text/html"] += view.html()
        bundle[MIME] = {"parts": [table, {"view": view.view, "data": dict(view.data)}]}
    return bundle


def pictures(result: Result) -> list[Picture]:
    """Return what can be drawn of a result; often nothing."""
    found = [traffic(one) for one in result.details.get("deployments", ()) if one.tracks]
    if {"nodes", "edges"} <= set(result.details):
        found.append(family(result))
    found += [
        curves(result, title, place)
        for title, place in _CURVES
        if any(point[place] is not None for c in result.details.get("curves", {}).values() for point in c)
    ]
    if result.details.get("pareto"):
        found.append(pareto(result))
    layers = [table for table in result.tables if {"layer", "output dB"} <= set(table.columns)]
    return found + [worst_layers(table) for table in layers if _measured(table)]


def traffic(deployment: DeploymentStatus) -> Picture:
    """Return the share of requests each version of a deployment gets."""
    rows = [
        Bar(f"{track.track} v{track.version}", track.weight, f"{100 * track.weight:.4g} %")
        for track in deployment.tracks
    ]
    return bars(rows, f"{deployment.name}@{deployment.env}")


def curves(result: Result, title: str, place: int) -> Picture:
    """Return held-out loss or score over CPU seconds: healed beside the control."""
    series = {
        name: [(float(point[0]), float(point[place])) for point in points if point[place] is not None]
        for name, points in sorted(result.details["curves"].items(), reverse=True)  # healed, then control
    }
    return lines(series, Axes("CPU s", title), title)


def pareto(result: Result) -> Picture:
    """Return the score of every program a search looked at over its size, by whether it passes."""
    series: dict[str, list[tuple[float, float]]] = {"taken": [], "passes": [], "does not": []}
    for point in result.details["pareto"]:
        kind = "taken" if point["chosen"] else "passes" if point["passes"] else "does not"
        series[kind].append((point["size_bytes"] / 1e6, point["score"]))
    return lines(series, Axes("MB of layers", "score", joined=False), "score over size")


def family(result: Result) -> Picture:
    """Return an artifact's ancestors, oldest on the left."""
    from ..pipeline.views import label

    nodes = {
        digest: Node((label(result.store, digest) if result.store else digest[:19],), digest == result.digest)
        for digest in result.details["nodes"]
    }
    return graph(nodes, [(parent, child) for child, parent in result.details["edges"]], result.title)


def _measured(table: Table) -> bool:
    place = table.columns.index("output dB")
    return any(row[place] is not None for row in table.rows)


def worst_layers(table: Table) -> Picture:
    """Return how far each layer's output stands above its quantization noise, worst first."""
    name, decibel = table.columns.index("layer"), table.columns.index("output dB")
    known = [(str(row[name]), float(row[decibel] or 0)) for row in table.rows if row[decibel] is not None]
    rows = [Bar(layer, value / _CLEAN_DB, f"{value:.1f} dB") for layer, value in known[:WORST]]
    return bars(rows, "output over quantization noise, worst layers")
