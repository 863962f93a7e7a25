"""A trace as a notebook shows it: plain text and script-free HTML."""

from __future__ import annotations

import html
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from ...render.bundle import Bundle, Part
from ...render.svg import Picture
from ...render.table import Table
from ...render.units import size
from ..costs import WEIGHTS
from ..lanes import Lane, lanes
from ..model import Trace
from .audit import audit_table
from .blocked import blocked_table
from .details import Details
from .flame import flame_svg
from .latencies import calls_table, functions_table, histograms, waits_table
from .leaks import leaks_table
from .lines import lines_table
from .timeline import timeline_svg

_OPEN = ("Cost by line", "Memory still held", "Audit", "Time blocked")


class TraceReport:
    """What there is to see in a trace; IPython shows it by itself.

    Parameters
    ----------
    trace
        The trace.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def summary(self) -> str:
        """Return one paragraph: which tier ran and why no better one, totals, what was lost."""
        return "\n".join(self._summary())

    @cached_property
    def lanes(self) -> list[Lane]:
        """What the timeline draws."""
        return lanes(self.trace)

    def tables(self) -> list[Table]:
        """Return the tables this trace can fill, the most telling first."""
        return list(self._tables)

    @cached_property
    def _tables(self) -> list[Table]:
        trace = self.trace
        found = (
            lines_table(trace),
            blocked_table(trace),
            leaks_table(trace),
            audit_table(trace),
            functions_table(trace.operators, "Operators"),
            functions_table(trace.cuda, "CUDA calls"),
            functions_table(trace.usdt, "Static probe points"),
            calls_table(trace),
            waits_table(trace),
        )
        first, *rest = found
        return [first, *(table for table in rest if table is not None and table.rows)]

    def flame(self, weight: str = "cpu") -> Picture:
        """Return the flame graph by ``cpu``, ``offcpu``, ``faults``, ``allocated`` or ``held``."""
        svg = flame_svg(self.trace, weight)
        return Picture(svg, f"(flame graph of {WEIGHTS[weight].title}: shown as a picture)")

    def timeline(self) -> Picture:
        """Return the timeline."""
        return Picture(timeline_svg(self.trace, self.lanes), "(timeline: shown as a picture)")

    def histograms(self) -> Bundle:
        """Return the latency histograms."""
        return Bundle(self._histograms)

    @cached_property
    def _histograms(self) -> list[Picture]:
        return histograms(self.trace)

    def text(self) -> str:
        """Return everything but the pictures that have no text face."""
        tables = [table.text() for table in self.tables()]
        return "\n\n".join([self.summary(), *tables, *(part.text() for part in self._histograms)])

    def html(self) -> str:
        """Return everything, without scripts."""
        summary = "<br>".join(html.escape(line) for line in self._summary())
        return f"<div><p>{summary}</p>{''.join(part.html() for part in self._parts())}</div>"

    def _parts(self) -> Iterator[Part]:
        first, *rest = self.tables()
        yield first
        yield self.flame()
        yield self.timeline()
        for table in rest:
            opened = table.rows and table.title.startswith(_OPEN)
            yield table if opened else Details(f"{table.title} · {table.note}".rstrip(" ·"), table)
        for weight in ("offcpu", "held", "faults"):
            if WEIGHTS[weight].rows(self.trace):
                yield Details(f"Flame graph of {WEIGHTS[weight].title}", self.flame(weight))
        if self._histograms:
            yield Details("Latency histograms", self.histograms())

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return {"text/plain": self.text(), "text/html": self.html()}

    def _summary(self) -> Iterator[str]:
        trace, meta = self.trace, self.trace.meta
        asked = f"{', '.join(meta.probes)} at {meta.hz} Hz"
        yield f"traced {meta.wall_s:.3g} s with tier {meta.tier} ({asked}); {self._totals()}"
        for reason in meta.reasons:
            yield f"better tier not used: {reason}"
        for reason, count in meta.lost.items():
            yield f"lost: {count:,} {reason}"
        if not meta.lost and trace.meta.tier != "sampler":
            yield "lost: nothing"
        for note in meta.notes:
            yield f"note: {note}"

    def _totals(self) -> str:
        trace = self.trace
        samples = sum(sample.kind == "cpu" for sample in trace.samples)
        parts = [f"{trace.total('cpu'):.3g} s of CPU time in {samples:,} samples"]
        if trace.faults is not None:
            parts.append(f"{sum(row.count for row in trace.faults):,} page faults")
        if trace.calls is not None:
            parts.append(f"{sum(row.latency.count for row in trace.calls):,} system calls")
        if trace.operators is not None:
            parts.append(f"{sum(row.latency.count for row in trace.operators):,} operator calls")
        if trace.allocations is not None:
            parts.append(f"{size(sum(row.bytes for row in trace.allocations))} still held")
        if trace.audit is not None:
            parts.append(f"{len(trace.audit):,} audited events")
        return ", ".join(parts)
