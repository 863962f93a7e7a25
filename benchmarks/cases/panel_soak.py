"""The panel for ten minutes: 1,000 runs, 100 events a second; does its memory stay flat, do frames stay short."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from workbench.store import Store

from .. import panel_page
from ..harness import progress
from ..samples import Samples

_PIECE_S = 30.0


def run(samples: Samples, *, quick: bool) -> None:
    """Measure; two pieces of 5 s when quick, else 20 of 30 s."""
    from playwright.sync_api import sync_playwright

    piece_s, pieces = (5.0, 2) if quick else (_PIECE_S, 20)
    with (
        tempfile.TemporaryDirectory() as name,
        panel_page.lab(Path(name)) as url,
        sync_playwright() as driver,
    ):
        browser = panel_page.chromium(driver)
        store = Store(Path(name) / "store")
        page = browser.new_page()
        panel_page.open_panel(page, url)
        ids = panel_page.fill(page, store)
        panel_page.feed(page, store, ids, piece_s)  # what is made once is there
        samples.add("soak.heap_mb", panel_page.heap_mb(page))
        for _ in progress(pieces, f"{piece_s:.0f} s of events"):
            panel_page.forget(page)
            panel_page.feed(page, store, ids, piece_s)
            frames = panel_page.frames_ms(page)
            samples.add("soak.p99_frame_ms", frames[int(0.99 * len(frames)) - 1])
            samples.add("soak.longest_frame_ms", frames[-1])
            samples.add("soak.longest_task_ms", panel_page.longest_task_ms(page))
            samples.add("soak.heap_mb", panel_page.heap_mb(page))
        browser.close()
    heap = samples.values("soak.heap_mb")
    samples.add("soak.heap_growth_mb", heap[-1] - heap[0])
    samples.add("soak.heap_mb_per_minute", float(np.polyfit(np.arange(len(heap)) * piece_s / 60, heap, 1)[0]))
    samples.add("soak.worst_frame_ms", max(samples.values("soak.longest_frame_ms")))
