"""Counters of one replica in the Prometheus text format.

A few families are all a route or a rollout asks for, so they are written here rather than with a client
library: it would cost more memory than the server itself.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .batching import CostCurve
    from .pool import Pool

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds: from a small model's answer to one that timed out for its caller."""
BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Inferences, as one replica saw them, over whatever transport they came.

    Parameters
    ----------
    **labels
        Put on every sample, e.g. ``model``, ``version``, ``track``.
    """

    def __init__(self, **labels: str) -> None:
        self.in_flight = 0
        self._labels = labels
        self._codes: Counter[int] = Counter()
        self._buckets = [0] * (len(BUCKETS_S) + 1)
        self._sum_s = 0.0
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Count a request that came."""
        with self._lock:
            self.in_flight += 1

    def end(self, status: int, seconds: float) -> None:
        """Count the same request as answered."""
        with self._lock:
            self.in_flight -= 1
            self._codes[status] += 1
            self._buckets[bisect_left(BUCKETS_S, seconds)] += 1
            self._sum_s += seconds

    def text(self, pool: Pool, costs: CostCurve | None) -> str:
        """Return every sample in the Prometheus text format."""
        return "\n".join([*self._requests(), *self._queue(pool, costs)]) + "\n"

    def _requests(self) -> list[str]:
        errors = sum(count for code, count in self._codes.items() if code >= 500)
        lines = ["# TYPE mlops_requests_total counter"]
        lines += [self._line("requests_total", n, code=str(code)) for code, n in sorted(self._codes.items())]
        lines += ["# TYPE mlops_errors_total counter", self._line("errors_total", errors)]
        lines += ["# TYPE mlops_requests_in_flight gauge", self._line("requests_in_flight", self.in_flight)]
        lines += ["# TYPE mlops_request_seconds histogram"]
        below = 0
        for bound, count in zip([*map(str, BUCKETS_S), "+Inf"], self._buckets, strict=True):
            below += count
            lines.append(self._line("request_seconds_bucket", below, le=bound))
        lines.append(self._line("request_seconds_sum", self._sum_s))
        lines.append(self._line("request_seconds_count", below))
        return lines

    def _queue(self, pool: Pool, costs: CostCurve | None) -> list[str]:
        """Return what waits, how many requests each run answered, and what runs were measured to cost."""
        lines = ["# TYPE mlops_queue_length gauge", self._line("queue_length", pool.waiting)]
        lines.append("# TYPE mlops_batch_requests histogram")
        runs = dict(pool.batches)
        for bound in BATCHES:
            below = sum(times for count, times in runs.items() if count <= bound)
            lines.append(self._line("batch_requests_bucket", below, le=str(bound)))
        lines.append(self._line("batch_requests_bucket", sum(runs.values()), le="+Inf"))
        lines.append(self._line("batch_requests_sum", sum(count * times for count, times in runs.items())))
        lines.append(self._line("batch_requests_count", sum(runs.values())))
        if costs is not None:
            lines.append("# TYPE mlops_batch_cost_seconds gauge")
            pairs = zip(costs.rows, costs.seconds, strict=True)
            lines += [self._line("batch_cost_seconds", cost, rows=str(rows)) for rows, cost in pairs]
        return lines

    def _line(self, name: str, value: float, **labels: str) -> str:
        pairs = ",".join(f'{k}="{_escape(v)}"' for k, v in {**self._labels, **labels}.items())
        return f"mlops_{name}{{{pairs}}} {value}"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
