"""A JupyterLab with the prebuilt panel of this checkout, a browser in front of it, and events that arrive."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.store import Store

ROOT = Path(__file__).resolve().parents[1]
PANEL = ROOT / "workbench/labextension"
TOKEN = "benchmark"  # of a server on loopback that lives for some minutes
RUNS, RATE, MOVING = 1000, 100, 20
"""Runs on the page, events a second, runs that the events belong to."""

_WATCH = """() => {
  window.late = []; window.frames = []; window.tasks = []; let seen = new Set(), last = performance.now();
  const look = () => { for (const one of document.querySelectorAll('.mlops-Card-foot')) {
    const at = /at ([0-9.]+)/.exec(one.textContent);
    if (at && !seen.has(at[1])) { seen.add(at[1]); window.late.push(Date.now() - Number(at[1])); } } };
  new MutationObserver(look).observe(document.getElementById('mlops-workbench'),
    {subtree: true, childList: true, characterData: true});
  new PerformanceObserver(list => window.tasks.push(...list.getEntries().map(one => one.duration)))
    .observe({entryTypes: ['longtask']});
  const frame = now => { window.frames.push(now - last); last = now; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
}"""
_HEAP = "() => { window.gc(); window.gc(); return performance.memory.usedJSHeapSize / 1e6; }"


@contextlib.contextmanager
def lab(folder: Path) -> Iterator[str]:
    """Run a JupyterLab with a store in ``folder/store``; give its address."""
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


def chromium(driver: Any) -> Any:
    """Start the system's own browser, with a collector that can be asked to collect."""
    flags = ["--no-sandbox", "--disable-gpu", "--js-flags=--expose-gc", "--enable-precise-memory-info"]
    return driver.chromium.launch(executable_path=shutil.which("chromium"), args=flags)


def load_lab(page: Any, url: str) -> None:
    """Load JupyterLab and wait until it stands."""
    page.goto(f"{url}/lab?token={TOKEN}&reset")
    page.wait_for_function("() => window.jupyterapp")
    page.evaluate("async () => { await window.jupyterapp.restored; }")


def open_panel(page: Any, url: str) -> None:
    """Load JupyterLab, show the panel, and note from now on what it paints and when."""
    load_lab(page, url)
    page.evaluate("() => { window.jupyterapp.commands.execute('mlops:open'); }")
    page.locator(".mlops-Live[data-live=true]").wait_for()
    page.evaluate(_WATCH)


def heap_mb(page: Any) -> float:
    """Return the page's heap after a collection, in megabytes."""
    return float(page.evaluate(_HEAP))


def forget(page: Any) -> None:
    """Forget frames and tasks until now, such as those of a collection that was asked for."""
    page.wait_for_timeout(500)
    page.evaluate("() => { window.frames.length = 0; window.tasks.length = 0; }")


def frames_ms(page: Any) -> list[float]:
    """Return the times between two frames, shortest first."""
    return sorted(page.evaluate("() => window.frames"))


def longest_task_ms(page: Any) -> float:
    """Return the longest task of the page's main thread that took 50 ms or more; 0 if there was none."""
    return float(page.evaluate("() => Math.max(0, ...window.tasks)"))


def fill(page: Any, store: Store) -> list[str]:
    """Make the runs, and return their ids when the page has them."""
    ids = [store.runs.create("{}", ["capture"], title=f"run {number}") for number in range(RUNS)]
    for run_id in ids:
        store.events.append(run_id, 0, "step.progress", {"message": "made"})  # a page hears of runs by events
    page.wait_for_function(f"() => document.querySelector('.mlops-More')?.textContent.includes('{RUNS}')")
    return ids


def feed(page: Any, store: Store, ids: list[str], seconds: float) -> None:
    """Bring events to the newest runs, evenly."""
    began = time.monotonic()
    for number in range(round(seconds * RATE)):
        payload = {"message": f"step {number}", "fraction": number % 100 / 100}
        store.events.append(ids[-1 - number % MOVING], 0, "step.progress", payload)
        behind = began + number / RATE - time.monotonic()
        if behind > 0:
            page.wait_for_timeout(behind * 1e3)
