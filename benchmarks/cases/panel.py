"""The JupyterLab panel in a real browser: from an event to the page, and 1,000 runs at 100 events a second.

A JupyterLab of its own loads the prebuilt panel of this checkout. What the panel costs until JupyterLab stands is in
``panel_start``.
"""

from __future__ import annotations

import gzip
import tempfile
import time
from pathlib import Path
from typing import Any

from workbench.store import Store

from .. import page_costs, panel_page
from ..samples import Samples


def run(samples: Samples, *, quick: bool) -> None:
    """Measure; a few events when quick, else 200 events and a minute of load."""
    from playwright.sync_api import sync_playwright

    scripts = sorted((panel_page.PANEL / "static").glob("*.js"))
    samples.add("bundle.gzipped_kb", len(gzip.compress(b"".join(p.read_bytes() for p in scripts))) / 1e3)
    with (
        tempfile.TemporaryDirectory() as name,
        panel_page.lab(Path(name)) as url,
        sync_playwright() as driver,
    ):
        browser = panel_page.chromium(driver)
        store = Store(Path(name) / "store")
        page = browser.new_page()
        panel_page.open_panel(page, url)
        _latency(samples, page, store, 20 if quick else 200)
        _load(samples, page, store, 5 if quick else 60)
        browser.close()


def _latency(samples: Samples, page: Any, store: Store, events: int) -> None:
    run_id = store.runs.create("{}", ["capture"], title="latency")
    for number in range(events):
        store.events.append(
            run_id, 0, "step.progress", {"message": f"at {time.time() * 1e3:.1f}", "fraction": None}
        )
        page.wait_for_timeout(60 + number % 7 * 13)  # out of step with the server's own period
    for late in page.evaluate("() => window.late"):
        samples.add("event_to_page.ms", late)
    samples.add("event_to_page.p95_ms", sorted(samples.values("event_to_page.ms"))[int(0.95 * events) - 1])


def _load(samples: Samples, page: Any, store: Store, seconds: int) -> None:
    """Keep 1,000 runs on the page and bring 100 events a second to twenty of them."""
    ids = panel_page.fill(page, store)
    before = panel_page.heap_mb(page)
    panel_page.forget(page)
    session = page.context.new_cdp_session(page)
    busy = page_costs.process_s(session)
    tasks = page_costs.tasks_ms(page, lambda: panel_page.feed(page, store, ids, seconds))
    samples.add("load.cpu_share", (page_costs.process_s(session) - busy) / seconds)
    samples.add("load.longest_task_cpu_ms", tasks[-1])
    frames = panel_page.frames_ms(page)
    samples.add("load.p99_frame_ms", frames[int(0.99 * len(frames)) - 1])
    samples.add("load.longest_frame_ms", frames[-1])
    samples.add("load.longest_task_ms", panel_page.longest_task_ms(page))
    samples.add("load.heap_growth_mb", panel_page.heap_mb(page) - before)
