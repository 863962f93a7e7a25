"""How long one waits for a profile: until the cell runs, and from its end until the report is there."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from workbench import api
from workbench.store import Store
from workbench.trace.probes import DEFAULT_PROBES

from ..harness import progress
from ..samples import Samples
from ..workloads import tiny

_SETS = {
    "default_99hz": (DEFAULT_PROBES, 99),
    "wide_999hz": ((*DEFAULT_PROBES, "offcpu", "operators", "alloc"), 999),
}


def run(samples: Samples, *, quick: bool) -> None:
    """Measure; 1 round of 0.2 s when quick, else 3 of 10 s, after one that is not counted."""
    rounds, seconds = (1, 0.2) if quick else (3, 10.0)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        for name, (probes, hz) in _SETS.items():
            _profile(store, probes, hz, 0.2)
            for _ in progress(rounds, name):
                start_s, report_s = _profile(store, probes, hz, seconds)
                samples.add(f"{name}.start_s", start_s)
                samples.add(f"{name}.report_s", report_s)


def _profile(store: Store, probes: tuple[str, ...], hz: int, seconds: float) -> tuple[float, float]:
    """Return seconds until the cell ran, and from its end until the report is there as HTML and text."""
    cell = _Cell(seconds)
    asked = time.perf_counter()
    result = api.profile("", cell, name="measured", probes=probes, hz=hz, store=store)
    result._repr_mimebundle_()
    done = time.perf_counter()
    return cell.began - asked, done - cell.ended


class _Cell:
    """A workload that calls operators, runs Python code and opens files, for some seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._step = seconds, tiny()
        self.began = self.ended = 0.0

    def __call__(self) -> None:
        self.began = time.perf_counter()
        while time.perf_counter() < self.began + self._seconds:
            self._step()
            json.dumps(list(range(100)))
            Path("/etc/hostname").read_bytes()
        self.ended = time.perf_counter()
