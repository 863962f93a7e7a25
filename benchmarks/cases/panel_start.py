"""What the JupyterLab panel costs until JupyterLab stands: many page loads, with and without its files, in turns.

The pages of one browser share its caches, so a load is that of somebody who comes back: shorter than the first one, and
steadier. A round has a load with the panel and two without it; the second of these says how far apart loads are that do
not differ. The files are refused by the browser itself, so nothing else differs between the loads. Processor time is
that of the page's main thread, which a busy machine changes less than the clock.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from .. import page_costs, panel_page
from ..harness import progress, timed_ms
from ..samples import Samples

_OURS = "*/extensions/@mlops/*"
_NOTHING = "*/no-file-has-this-name/*"
_BLOCKED = {"with": _NOTHING, "without": _OURS, "control": _OURS}
_WARM_UP = 2
_MEASURES = ("thread_ms", "ms")


def run(samples: Samples, *, quick: bool) -> None:
    """Measure; 2 rounds of three page loads when quick, else 30, and the share of scripts in every third."""
    from playwright.sync_api import sync_playwright

    with (
        tempfile.TemporaryDirectory() as name,
        panel_page.lab(Path(name)) as url,
        sync_playwright() as driver,
    ):
        browser = panel_page.chromium(driver)
        context = browser.new_context()
        for _ in range(_WARM_UP):
            for blocked in (_NOTHING, _OURS):
                _load(context, url, blocked)
        kinds = list(_BLOCKED)
        for number in progress(2 if quick else 30, "page loads with and without the panel"):
            for kind in kinds[number % 3 :] + kinds[: number % 3]:
                for measure, value in zip(_MEASURES, _load(context, url, _BLOCKED[kind]), strict=True):
                    samples.add(f"{kind}.{measure}", value)
            if number % 3 == 0:
                samples.add("with.script_share", _share(context, url))
        browser.close()
    for measure in _MEASURES:
        samples.ratio(f"with_over_without.{measure}", f"with.{measure}", f"without.{measure}")
        samples.ratio(f"control_over_without.{measure}", f"control.{measure}", f"without.{measure}")
        both = [*samples.values(f"without.{measure}"), *samples.values(f"control.{measure}")]
        over = samples.median(f"with.{measure}") / statistics.median(both)
        samples.add(f"median_over_median.{measure}", over)


def _load(context: Any, url: str, blocked: str) -> tuple[float, float]:
    """Load JupyterLab in a new page; return main-thread and clock time until it stands, in ms."""
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setBlockedURLs", {"urls": [blocked]})
    before = page_costs.thread_ms(session)
    clock = timed_ms(lambda: panel_page.load_lab(page, url))
    spent = page_costs.thread_ms(session) - before
    page.close()
    return spent, clock


def _share(context: Any, url: str) -> float:
    page = context.new_page()
    share = page_costs.share_of_scripts(page, lambda: panel_page.load_lab(page, url), "/extensions/@mlops/")
    page.close()
    return share
