"""The JupyterLab panel in a real browser: event to page, 1,000 runs at 100 events a second, what start-up costs.

A JupyterLab of its own loads the prebuilt panel of this checkout. Start-up is compared by blocking the panel's files in
every other page load.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from workbench.store import Store

from ..harness import progress, timed_ms
from ..samples import Samples

ROOT = Path(__file__).resolve().parents[2]
PANEL = ROOT / "workbench/labextension"
TOKEN = "benchmark"  # of a server on loopback that lives for a minute
RUNS, RATE = 1000, 100

_WATCH = """() => {
  window.late = []; window.frames = []; let seen = new Set(), last = performance.now();
  const look = () => { for (const one of document.querySelectorAll('.mlops-Card-foot')) {
    const at = /at ([0-9.]+)/.exec(one.textContent);
    if (at && !seen.has(at[1])) { seen.add(at[1]); window.late.push(Date.now() - Number(at[1])); } } };
  new MutationObserver(look).observe(document.getElementById('mlops-workbench'),
    {subtree: true, childList: true, characterData: true});
  const frame = now => { window.frames.push(now - last); last = now; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
}"""
_HEAP = "() => { window.gc(); window.gc(); return performance.memory.usedJSHeapSize; }"


def run(samples: Samples, *, quick: bool) -> None:
    """Measure; a few events and page loads when quick, else 200 events, a minute of load and 10 pairs of page loads."""
    from playwright.sync_api import sync_playwright

    bundle = b"".join(path.read_bytes() for path in sorted((PANEL / "static").glob("*.js")))
    samples.add("bundle.gzipped_kb", len(gzip.compress(bundle)) / 1e3)
    with tempfile.TemporaryDirectory() as name, _lab(Path(name)) as url, sync_playwright() as driver:
        flags = ["--no-sandbox", "--disable-gpu", "--js-flags=--expose-gc", "--enable-precise-memory-info"]
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        store = Store(Path(name) / "store")
        _starts(samples, browser, url, 2 if quick else 10)
        page = browser.new_page()
        _open(page, url)
        page.evaluate("() => { window.jupyterapp.commands.execute('mlops:open'); }")
        page.locator(".mlops-Live[data-live=true]").wait_for()
        page.evaluate(_WATCH)
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
    ids = [store.runs.create("{}", ["capture"], title=f"run {i}") for i in range(RUNS)]
    page.wait_for_timeout(2000)
    before = page.evaluate(_HEAP)
    page.wait_for_timeout(500)  # the collection's own long frame does not count
    page.evaluate("() => { window.frames.length = 0; }")
    began = time.monotonic()
    for number in range(seconds * RATE):
        payload = {"message": f"step {number}", "fraction": number % 100 / 100}
        store.events.append(ids[-1 - number % 20], 0, "step.progress", payload)
        behind = began + number / RATE - time.monotonic()
        if behind > 0:
            page.wait_for_timeout(behind * 1e3)
    frames = sorted(page.evaluate("() => window.frames"))
    samples.add("load.p99_frame_ms", frames[int(0.99 * len(frames)) - 1])
    samples.add("load.longest_frame_ms", frames[-1])
    samples.add("load.heap_growth_mb", (page.evaluate(_HEAP) - before) / 1e6)


def _starts(samples: Samples, browser: Any, url: str, rounds: int) -> None:
    for number in progress(rounds, "page loads with and without the panel"):
        for without in (True, False) if number % 2 else (False, True):
            context = browser.new_context()
            page = context.new_page()
            if without:
                page.route("**/extensions/@mlops/**", lambda route: route.abort())
            key = "restored_without.ms" if without else "restored.ms"
            samples.add(key, timed_ms(partial(_open, page, url)))
            context.close()
    samples.ratio("restored.over_without", "restored.ms", "restored_without.ms")


def _open(page: Any, url: str) -> None:
    page.goto(f"{url}/lab?token={TOKEN}&reset")
    page.wait_for_function("() => window.jupyterapp")
    page.evaluate("async () => { await window.jupyterapp.restored; }")


@contextlib.contextmanager
def _lab(folder: Path) -> Iterator[str]:
    extensions = folder / "data/labextensions/@mlops"
    extensions.mkdir(parents=True)
    (extensions / "workbench-lab").symlink_to(PANEL)
    (folder / "notebooks").mkdir()
    places = ("CONFIG_DIR", "RUNTIME_DIR", "DATA_DIR")
    environment = {**os.environ, **{f"JUPYTER_{place}": str(folder / place) for place in places}}
    environment |= {"JUPYTER_PATH": str(folder / "data"), "MLOPS_HOME": str(folder / "store")}
    environment |= {"PYTHONPATH": str(ROOT), "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings")}
    options = {"ip": "127.0.0.1", "port": 0, "root_dir": folder / "notebooks", "allow_root": True}
    options |= {"jpserver_extensions": "{'workbench.server': True, 'jupyterlab': True}"}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--IdentityProvider.token={TOKEN}"]
    command += [f"--ServerApp.{key}={value}" for key, value in options.items()]
    command += ["--LabApp.expose_app_in_browser=True", "--LabApp.news_url="]
    log = folder / "lab.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(command, env=environment, stdout=sink, stderr=sink)
    try:
        while not (found := re.search(r"(http://127\.0\.0\.1:\d+)/lab", log.read_text())):
            if process.poll() is not None:
                raise RuntimeError(f"JupyterLab ended:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield found[1]
    finally:
        process.terminate()
        process.wait(30)
