"""A trace as a notebook shows it: plain text and script-free HTML."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

from ...render.table import Table
from ..latency import merge
from ..model import Trace
from .flame import flame_svg
from .table import calls_table, histogram_table, lines_table, waits_table


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

    def tables(self) -> list[Table]:
        """Return the tables this trace can fill."""
        trace = self.trace
        found: list[Table | None] = [lines_table(trace), calls_table(trace), waits_table(trace)]
        if trace.waits:
            found.append(
                histogram_table(merge(row.latency for row in trace.waits), "Run-queue latency, all threads")
            )
        return [table for table in found if table is not None]

    def text(self) -> str:
        """Return everything but the picture."""
        return "\n\n".join([self.summary(), *(table.text() for table in self.tables())])

    def html(self) -> str:
        """Return everything, without scripts."""
        summary = "<br>".join(html.escape(line) for line in self._summary())
        parts = [f"<p>{summary}</p>", flame_svg(self.trace), *(table.html() for table in self.tables())]
        return f"<div>{''.join(parts)}</div>"

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
        return ", ".join(parts)
