"""Pictures beside what the api answers: the traffic of a deployment, a lineage graph, the worst layers.

The text of a :class:`~workbench.pipeline.result.Result` says everything; a notebook that shows HTML gets a
picture too, drawn from the same data.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..render.bundle import Part
from ..render.lines import Axes
from ..render.listing import Listing
from ..render.svg import Bar, Picture, bars
from ..render.table import Table
from .assembly import assembly_view
from .curves import Point
from .curves import curves as curves_view
from .lineage import lineage_view
from .live import MIME, LiveView
from .pareto import pareto as pareto_view

if TYPE_CHECKING:
    from ..pipeline.result import Result
    from ..staging import DeploymentStatus

WORST = 8
"""Layers to draw: the table lists more."""

_CURVES = (("held-out loss", 1), ("score", 2))
_CLEAN_DB = 60.0  # a signal this far above its quantization noise fills the bar


def mimebundle(result: Result) -> dict[str, Any]:
    """Return a result as text, as HTML with its pictures, and live where a picture can be explored."""
    drawn = pictures(result)
    html = result.html() + "".join(f"<div>{picture.html()}</div>" for picture in drawn)
    bundle: dict[str, Any] = {"text/plain": result.text(), "text/html": html}
    if "report" in result.details:
        from .profile import live_data

        return bundle | live_data(result.details["report"], result.title)
    own = [assembly_view(part) if isinstance(part, Listing) else part for part in result.pictures]
    parts = [*own, *drawn]
    if any(isinstance(part, LiveView) for part in parts):
        head = {"html": replace(result, pictures=()).html()}
        bundle[MIME] = {"parts": [head, *(_live(part) for part in parts)]}
    return bundle


def _live(part: Part) -> dict[str, Any]:
    if isinstance(part, LiveView):
        return {"view": part.view, "data": dict(part.data)}
    return {"html": f"<div>{part.html()}</div>"}


def pictures(result: Result) -> list[Picture | LiveView]:
    """Return what can be drawn of a result; often nothing."""
    found: list[Picture | LiveView] = [
        traffic(one) for one in result.details.get("deployments", ()) if one.tracks
    ]
    if {"nodes", "edges"} <= set(result.details):
        found.append(lineage_view(result))
    found += [
        curves(result, title, place)
        for title, place in _CURVES
        if any(point[place] is not None for c in result.details.get("curves", {}).values() for point in c)
    ]
    if result.details.get("pareto"):
        found.append(pareto(result))
    compared = pareto_view(result.details["compared"]) if "compared" in result.details else None
    if compared is not None:
        found.append(compared)
    layers = [table for table in result.tables if {"layer", "output dB"} <= set(table.columns)]
    return found + [worst_layers(table) for table in layers if _measured(table)]


def traffic(deployment: DeploymentStatus) -> Picture:
    """Return the share of requests each version of a deployment gets."""
    rows = [
        Bar(f"{track.track} v{track.version}", track.weight, f"{100 * track.weight:.4g} %")
        for track in deployment.tracks
    ]
    return bars(rows, f"{deployment.name}@{deployment.env}")


def curves(result: Result, title: str, place: int) -> LiveView:
    """Return held-out loss or score over CPU seconds: healed beside the control."""
    series = {
        name: [(float(point[0]), float(point[place])) for point in points if point[place] is not None]
        for name, points in sorted(result.details["curves"].items(), reverse=True)  # healed, then control
    }
    return curves_view(series, Axes("CPU s", title), title)


def pareto(result: Result) -> LiveView:
    """Return the score of every program a search looked at over its size, by whether it passes."""
    series: dict[str, list[Point]] = {"taken": [], "passes": [], "does not": []}
    for point in result.details["pareto"]:
        kind = "taken" if point["chosen"] else "passes" if point["passes"] else "does not"
        series[kind].append((point["size_bytes"] / 1e6, point["score"], str(point.get("label", ""))))
    return curves_view(series, Axes("MB of layers", "score", joined=False), "score over size")


def _measured(table: Table) -> bool:
    place = table.columns.index("output dB")
    return any(row[place] is not None for row in table.rows)


def worst_layers(table: Table) -> Picture:
    """Return how far each layer's output stands above its quantization noise, worst first."""
    name, decibel = table.columns.index("layer"), table.columns.index("output dB")
    known = [(str(row[name]), float(row[decibel] or 0)) for row in table.rows if row[decibel] is not None]
    rows = [Bar(layer, value / _CLEAN_DB, f"{value:.1f} dB") for layer, value in known[:WORST]]
    return bars(rows, "output over quantization noise, worst layers")
