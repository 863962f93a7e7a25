"""A profile one can explore: drag over the timeline, zoom into the flame graph, search it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .live import MIME, LiveView

if TYPE_CHECKING:
    from ..render.table import Table
    from ..trace import DifferenceReport, TraceReport


def profile_view(report: TraceReport) -> LiveView:
    """Return a report as a live view; without a script it is the report.

    Examples
    --------
    >>> from workbench import trace
    >>> with trace.session(("cpu",), tier="sampler") as recorder:
    ...     total = sum(range(1000))
    >>> profile_view(trace.TraceReport(recorder.trace)).view
    'profile'
    """
    from ..trace.reports.explore import profile_data

    return _view(report, profile_data(report.trace, report.lanes))


def difference_view(report: DifferenceReport) -> LiveView:
    """Return a comparison as a live view; without a script it is the comparison."""
    from ..trace.reports.explore import difference_data

    return _view(report, difference_data(report.before, report.after))


def live_data(report: object, title: str = "") -> dict[str, Any]:
    """Return what a notebook's output gets besides text and HTML; nothing for a report of another kind."""
    from ..trace import DifferenceReport, TraceReport

    if not isinstance(report, TraceReport | DifferenceReport):
        return {}
    view = profile_view(report) if isinstance(report, TraceReport) else difference_view(report)
    summary = [title, *view.data["summary"]] if title else view.data["summary"]
    return {MIME: {"view": view.view, "data": {**view.data, "summary": summary}}}


def _view(report: TraceReport | DifferenceReport, drawn: dict[str, Any]) -> LiveView:
    data = {
        **drawn,
        "summary": report.summary().splitlines(),
        "tables": [_table(table) for table in report.tables()],
    }
    return LiveView("profile", data, report)


def _table(table: Table) -> dict[str, Any]:
    from ..render.table import show

    return {
        "title": table.title,
        "note": table.note,
        "columns": list(table.columns),
        "rows": [[show(cell) for cell in row] for row in table.rows],
        "numbers": [[cell if isinstance(cell, int | float) else None for cell in row] for row in table.rows],
    }
